// The entry: builds the login and the client from the browser and shows the console.

import { render } from "solid-js/web";

import { App } from "./app";
import { Client } from "./api/client";
import { Login } from "./api/login";
import { language, setLanguage } from "./i18n";
import "./ui/style.css";

const BASE = "/api/v1";

const fetch_: typeof fetch = (input, init) => fetch(input, init);
const login = new Login(BASE, {
  fetch: fetch_,
  storage: window.sessionStorage,
  now: Date.now,
  channel: "BroadcastChannel" in window ? new BroadcastChannel("motorcade.login") : undefined,
  // Only a secure context has locks; without them, tabs renew on their own.
  locks: navigator.locks as LockManager | undefined,
});

setLanguage(language());
const root = document.getElementById("app");
if (root) render(() => <App login={login} client={new Client(BASE, login, fetch_)} />, root);
