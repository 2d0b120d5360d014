"use strict";
for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  const status = document.getElementById(button.dataset.copy + "-copied");
  const done = (copied) => {
    status.textContent = copied ? "Copied." : "Selected; copy it with Ctrl+C.";
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    getSelection().selectAllChildren(source);
    if (navigator.clipboard) {
      navigator.clipboard.writeText(source.textContent).then(() => done(true), () => done(document.execCommand("copy")));
    } else {
      done(document.execCommand("copy"));
    }
  });
}
