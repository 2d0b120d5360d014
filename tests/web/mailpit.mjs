// Asks a lab everything that two clients of Mailpit's API ask for. Argument: the lab's address. Prints JSON.
import { createRequire } from "node:module";
import { MailpitClient } from "mailpit-api";

const [url, subject] = process.argv.slice(2);
const out = {};

const mailpit = new MailpitClient(url);
out.info = await mailpit.getInfo();
out.configuration = await mailpit.getConfiguration();
out.list = await mailpit.listMessages(0, 10);
const { ID } = out.list.messages.find((message) => message.Subject === subject);
out.search = await mailpit.searchMessages({ query: `subject:"${subject}"` });
out.summary = await mailpit.getMessageSummary(ID);
out.latest = (await mailpit.getMessageSummary()).ID;
out.headers = await mailpit.getMessageHeaders(ID);
const part = await mailpit.getMessageAttachment(ID, out.summary.Attachments[0].PartID);
out.part = Buffer.from(await part.arrayBuffer()).toString("latin1");
out.source = await mailpit.getMessageSource(ID);
out.html = await mailpit.renderMessageHTML(ID);
out.text = await mailpit.renderMessageText(ID);
await mailpit.setTags({ IDs: [ID], Tags: ["mine"] });
out.tags = await mailpit.getTags();
await mailpit.setReadStatus({ IDs: [ID], Read: false });
out.unread = (await mailpit.listMessages()).unread;
out.waited = (await mailpit.waitForMessage({ query: "tag:mine" }, { timeout: 10000 })).ID;

// cypress-mailpit without Cypress: what it calls of it is little.
const wrap = (value) => Promise.resolve(value);
globalThis.Cypress = { expose: () => url, env: () => url, Commands: { addAll() {}, add() {} } };
globalThis.cy = {
  wrap,
  env: () => wrap({}),
  request: async ({ method, url: address, qs, body }) => {
    const target = new URL(address);
    for (const [name, value] of Object.entries(qs || {})) target.searchParams.set(name, value);
    const answer = await fetch(target, { method, body: body && JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    if (!answer.ok) throw new Error(`${method} ${target}: ${answer.status}`);
    const json = (answer.headers.get("content-type") || "").includes("json");
    return { status: answer.status, body: json ? await answer.json() : await answer.text() };
  },
};
const loaded = createRequire(import.meta.url)("cypress-mailpit/dist/src/MailpitCommands.js");
const Commands = loaded.default || loaded.MailpitCommands || loaded;
const commands = new Commands();
const message = await commands.mailpitGetMail(ID);
out.cypress = {
  all: (await commands.mailpitGetAllMails()).messages_count,
  bySubject: (await commands.mailpitGetEmailsBySubject("one")).messages_count,
  byTo: (await commands.mailpitGetEmailsByTo("bob@example.com")).messages_count,
  subject: await commands.mailpitGetSubject(message),
  from: await commands.mailpitGetFromAddress(message),
  to: await commands.mailpitGetRecipientAddress(message),
  attachments: await commands.mailpitGetAttachments(message),
  html: await commands.mailpitGetMailHTMlBody(message),
  text: await commands.mailpitGetMailTextBody(message),
  read: await commands.mailpitSetStatusAsRead(message),
};
await commands.mailpitSetAllEmailStatusAsUnRead();
out.cypress.unread = (await commands.mailpitGetAllMails()).unread;
await commands.mailpitDeleteEmailsBySearch("subject:other");
out.cypress.afterSearch = (await commands.mailpitGetAllMails()).total;
await mailpit.deleteMessages({ IDs: [ID] });
out.afterOne = (await mailpit.listMessages()).total;
await commands.mailpitDeleteAllEmails();
out.cypress.afterAll = (await commands.mailpitGetAllMails()).total;
console.log(JSON.stringify(out));
