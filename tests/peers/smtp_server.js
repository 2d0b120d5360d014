// Runs the npm package smtp-server as npm.py tells it to, in JSON, as the only argument.
'use strict';

const fs = require('fs');
const path = require('path');
const { SMTPServer } = require('smtp-server');

const world = JSON.parse(process.argv[2]);
let count = 0;

function refusal(code, text) {
    return Object.assign(new Error(text), { responseCode: code });
}

// Each mailbox is a folder; a message appears in it all at once.
function deliver(mailbox, content) {
    const name = `${process.pid}.${++count}`;
    const unfinished = path.join(world.mail, name);
    fs.writeFileSync(unfinished, content, 'latin1');
    fs.renameSync(unfinished, path.join(world.mail, mailbox, 'new', name));
}

const common = {
    name: world.name,
    size: world.size,
    rejectOversized: true,
    authMethods: ['PLAIN', 'LOGIN', 'CRAM-MD5', 'XOAUTH2'],
    authOptional: true,
    // All three are off unless asked for.
    hideDSN: false,
    hideENHANCEDSTATUSCODES: false,
    hideREQUIRETLS: false,
    allowInsecureAuth: true,
    disableReverseLookup: true,
    maxAllowedUnauthenticatedCommands: false,
    logger: true,
    closeTimeout: 100,
    disabledCommands: world.key ? [] : ['STARTTLS'],
    ...(world.key && {
        key: fs.readFileSync(world.key),
        cert: fs.readFileSync(world.chain),
        ca: fs.readFileSync(world.authority),
        requestCert: world.askCertificate,
        rejectUnauthorized: false,
    }),
    onAuth(auth, session, done) {
        const known =
            auth.method === 'XOAUTH2' ? auth.accessToken === world.token
            : auth.method === 'CRAM-MD5' ? auth.validatePassword(world.password)
            : auth.password === world.password;
        if (auth.method === 'XCLIENT' || (auth.username === world.user && known)) {
            return done(null, { user: auth.username });
        }
        // What goes with XOAUTH2 is the text that the client is challenged with.
        return auth.method === 'XOAUTH2'
            ? done(null, { data: { status: '401', schemes: 'bearer', scope: 'mail' } })
            : done(refusal(535, 'Invalid username or password'));
    },
    onMailFrom(sender, session, done) {
        done(sender.address === world.refusedSender ? refusal(550, 'Sender refused') : null);
    },
    onRcptTo(recipient, session, done) {
        done(world.mailboxes.includes(recipient.address) ? null : refusal(550, 'No such mailbox'));
    },
    onData(stream, session, done) {
        const chunks = [];
        stream.on('data', chunk => chunks.push(chunk));
        stream.on('end', () => {
            if (stream.sizeExceeded) {
                return done(refusal(552, 'Message too large'));
            }
            const content = Buffer.concat(chunks).toString('latin1').replace(/\r\n/g, '\n');
            const full = refusal(552, 'Mailbox full');
            const recipients = session.envelope.rcptTo.map(recipient => recipient.address);
            if (!this.options.lmtp && recipients.includes(world.fullMailbox)) {
                return done(full);
            }
            const replies = recipients.map(mailbox => {
                if (mailbox === world.fullMailbox) {
                    return full;
                }
                deliver(mailbox, content);
                return 'Message kept';
            });
            return done(null, this.options.lmtp ? replies : 'Message kept');
        });
    },
};

for (const [where, special] of world.listeners) {
    const server = new SMTPServer({ ...common, ...special });
    server.on('error', problem => console.error(problem.message));
    if (typeof where === 'number') {
        server.listen(where, world.host);
    } else {
        server.listen(where);
    }
}
