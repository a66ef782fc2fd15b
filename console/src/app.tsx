// Which of the three faces is shown: sign-in, the change of a password that must be changed, the console.

import { createResource, createSignal, ErrorBoundary, lazy, Match, onCleanup, Suspense, Switch, type JSX } from "solid-js";

import type { Client } from "./api/client";
import type { Login } from "./api/login";
import { loadSettings } from "./console";
import { PasswordPage } from "./signin/PasswordPage";
import { SignIn } from "./signin/SignIn";
import { Failed, Loading } from "./ui/notice";
import "./ui/theme";

// The map library is most of the console's size: who is not signed in does not wait for it.
const Workplace = lazy(() => import("./workplace"));

export function App(props: { login: Login; client: Client }): JSX.Element {
  const [account, setAccount] = createSignal(props.login.account);
  const [must, setMust] = createSignal(props.login.mustChangePassword);
  // Tells the own sign-out from a login that the server ended.
  let leaving = false;
  const [ended, setEnded] = createSignal(false);
  onCleanup(
    props.login.onChange(() => {
      setEnded(account() !== null && props.login.account === null && !leaving);
      leaving = false;
      setMust(props.login.mustChangePassword);
      setAccount(props.login.account);
      // Who signs in next, maybe as somebody else, must not begin with these rights.
      if (props.login.account === null) forget(undefined);
    }),
  );
  const [settings] = createResource(loadSettings);
  const [me, { refetch, mutate: forget }] = createResource(
    () => (must() ? null : account()),
    () => props.client.me(),
  );
  const signOut = () => {
    leaving = true;
    props.login.signOut();
  };
  return (
    <Switch fallback={<Loading />}>
      <Match when={!account()}>
        <SignIn login={props.login} ended={ended()} />
      </Match>
      <Match when={must()}>
        <PasswordPage login={props.login} forced onCancel={signOut} />
      </Match>
      <Match when={me.error as unknown}>
        {(error) => (
          <div class="page">
            <Failed error={error()} retry={() => void refetch()} />
          </div>
        )}
      </Match>
      <Match when={settings.state === "ready" && me()} keyed>
        {(who) => (
          <ErrorBoundary fallback={(error) => <Broken error={error} />}>
            <Suspense fallback={<Loading />}>
              <Workplace login={props.login} client={props.client} me={who} settings={settings() ?? {}} signOut={signOut} />
            </Suspense>
          </ErrorBoundary>
        )}
      </Match>
    </Switch>
  );
}

/** A fault of the console's own, or a part of it that could not be loaded: only a new page helps. */
function Broken(props: { error: unknown }): JSX.Element {
  console.error(props.error);
  return (
    <div class="page">
      <Failed error={props.error} retry={() => location.reload()} />
    </div>
  );
}
