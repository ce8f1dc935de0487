// What the pages do a little better with JavaScript. Signing in and setting up work without it.
"use strict";

// A dialog that the server opened becomes a modal one: the page behind waits, Escape and Cancel lead back.
for (const dialog of document.querySelectorAll("dialog[open]")) {
  dialog.close();
  dialog.showModal();
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    location.assign(dialog.dataset.back);
  });
}

// Menus close when something else is clicked, and with Escape.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.dropdown[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.dropdown[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A link that is called a button is pressed like one.
for (const link of document.querySelectorAll("a[role=button]")) {
  link.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    link.click();
  });
}

// The error summary is read out first.
document.querySelector("#problem")?.focus();

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const key = document.getElementById(button.dataset.copy).textContent.replaceAll(" ", "");
    try {
      await navigator.clipboard.writeText(key);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    }
  });
}

// The secret of a mailed link stands behind the "#": it leaves the address bar and goes into the form.
const MAILED = "watchword-mailed-token";
const secret = location.hash.slice(1);
const field = document.querySelector("[data-secret]");
if (secret.length > 20) history.replaceState(null, "", location.pathname);
if (field) {
  const input = field.querySelector("input");
  if (secret.length > 20) input.value = secret;
  field.hidden = input.value.length > 20 && input.getAttribute("aria-invalid") !== "true";
}

// The link after an administrator's reset is needed on the set-up page: this tab keeps it until then.
if (document.querySelector("[data-keep-mailed-token]") && secret.length > 20) sessionStorage.setItem(MAILED, secret);
const wanted = document.querySelector("[data-mailed-token]");
if (wanted && sessionStorage.getItem(MAILED)) {
  wanted.querySelector("input").value = sessionStorage.getItem(MAILED);
  sessionStorage.removeItem(MAILED);
  wanted.hidden = true;
  document.querySelector("[data-mailed-token-found]").hidden = false;
}

// A form is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[method=post]")) delete form.dataset.sent;
});
