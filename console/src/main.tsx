// The entry: builds the login and the client from the browser and shows the console.

import { render } from "solid-js/web";

import { App } from "./app";
import { Client } from "./api/client";
import { Login } from "./api/login";
import { language } from "./i18n";
import "./ui/style.css";

const BASE = "/api/v1";
const RELOADED = "motorcade.reloaded";
/** What is missing after a reload is missing on the server too. */
const RELOAD_MIN_MS = 60_000;

const fetch_: typeof fetch = (input, init) => fetch(input, init);
const login = new Login(BASE, {
  fetch: fetch_,
  storage: tabStorage(),
  now: Date.now,
  channel: "BroadcastChannel" in window ? new BroadcastChannel("motorcade.login") : undefined,
  locks: navigator.locks as LockManager | undefined,
});

document.documentElement.lang = language();
reloadOnce();
const root = document.getElementById("app");
if (root) render(() => <App login={login} client={new Client(BASE, login, fetch_)} />, root);

function tabStorage(): Storage | undefined {
  try {
    return window.sessionStorage;
  } catch {
    return undefined;
  }
}

/** A newer server no longer has the parts of the console that this page has not loaded yet: the page begins anew. */
function reloadOnce(): void {
  window.addEventListener("vite:preloadError", () => {
    const storage = tabStorage();
    const last = Number(storage?.getItem(RELOADED) ?? 0);
    if (!storage || Date.now() - last < RELOAD_MIN_MS) return;
    storage.setItem(RELOADED, String(Date.now()));
    location.reload();
  });
}
