// Controls that several sections share: a button that is an icon, a decision that is asked twice, what went
// wrong with one, and one that runs.

import { createSignal, Show, type Accessor, type JSX } from "solid-js";

import { words } from "../console";
import { Icon, type IconName } from "./icons";

export function IconButton(props: {
  icon: IconName;
  label: string;
  /** Says more to who cannot see what stands around it. */
  about?: string;
  class?: string;
  size?: number;
  pressed?: boolean;
  onClick: () => void;
  testid?: string;
}): JSX.Element {
  return (
    <button
      type="button"
      class={props.class ?? "icon-button"}
      title={props.label}
      aria-label={props.about ? `${props.label}: ${props.about}` : props.label}
      aria-pressed={props.pressed}
      onClick={() => props.onClick()}
      data-testid={props.testid}
    >
      <Icon name={props.icon} size={props.size ?? 18} />
    </button>
  );
}

/** Takes a second click for what cannot be taken back; leaving the button is a no. */
export function SureButton(props: {
  label: string;
  sure: string;
  icon?: IconName;
  disabled: boolean;
  onSure: () => void;
  testid: string;
}): JSX.Element {
  const [asked, setAsked] = createSignal(false);
  const click = (event: MouseEvent) => {
    // The second click of a double click is no second decision.
    if (asked() && event.detail > 1) return;
    setAsked(!asked());
    if (!asked()) props.onSure();
  };
  return (
    <button
      type="button"
      class="button small"
      classList={{ danger: asked() }}
      disabled={props.disabled}
      onClick={click}
      onBlur={() => setAsked(false)}
      data-testid={props.testid}
    >
      <Show when={props.icon}>{(icon) => <Icon name={icon()} size={14} />}</Show>
      {asked() ? props.sure : props.label}
    </button>
  );
}

export function FormError(props: { message: string; testid?: string }): JSX.Element {
  return (
    <Show when={props.message}>
      <p class="form-error" role="alert" data-testid={props.testid}>
        {props.message}
      </p>
    </Show>
  );
}

export interface Action {
  busy: Accessor<boolean>;
  /** What went wrong with the last one, in words. */
  message: Accessor<string>;
  /** Runs `work` unless another runs; true where it went well. */
  act: (work: () => Promise<unknown>) => Promise<boolean>;
}

export function createAction(): Action {
  const [busy, setBusy] = createSignal(false);
  const [message, setMessage] = createSignal("");
  const act = async (work: () => Promise<unknown>) => {
    if (busy()) return false;
    setBusy(true);
    setMessage("");
    try {
      await work();
      return true;
    } catch (error) {
      setMessage(words(error));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, message, act };
}
