// Device profiles: what models of devices do differently. For those who manage vehicles.

import { createSignal, For, Show, type JSX } from "solid-js";
import { createStore, reconcile } from "solid-js/store";

import type { DeviceProfile, RedirectForm } from "../api/types";
import { useConsole } from "../console";
import { t, time, type Key } from "../i18n";
import { createRefresh } from "../nodes/refresh";
import { createAction, FormError, SureButton } from "../ui/controls";
import { Empty, Failed, Loading } from "../ui/notice";

/** Others change them rarely. */
const REFRESH_MS = 30_000;
const FORMS: RedirectForm[] = ["text", "raw_control", "raw_words"];
const COLUMNS = ["name", "company", "redirectForm", "created"] as const;

export function ProfilesPage(): JSX.Element {
  const { client } = useConsole();
  // By key, so that a refresh takes no field away from under a hand.
  const [known, setKnown] = createStore<{ profiles: DeviceProfile[] | null }>({ profiles: null });
  const { error, refresh } = createRefresh(async (signal) => {
    const profiles = await client.deviceProfiles(signal);
    setKnown("profiles", reconcile(profiles, { key: "id" }));
  }, REFRESH_MS);

  return (
    <section class="sheet" aria-labelledby="profiles-title" data-testid="profiles">
      <h1 id="profiles-title">{t("profiles.title")}</h1>
      <p class="quiet">{t("profiles.lead")}</p>
      <Show when={error()}>{(problem) => <Failed error={problem()} retry={refresh} />}</Show>
      <Show when={known.profiles === null && !error()}>
        <Loading />
      </Show>
      <Show when={known.profiles}>
        {(profiles) => (
          <Show when={profiles().length} fallback={<Empty title={t("profiles.none")} />}>
            <div class="nodes-scroll">
              <table class="nodes">
                <thead>
                  <tr>
                    <For each={COLUMNS}>{(column) => <th scope="col">{t(`profiles.column.${column}` as Key)}</th>}</For>
                    <th />
                  </tr>
                </thead>
                <tbody>
                  <For each={profiles()}>{(profile) => <ProfileRow profile={profile} onChange={refresh} />}</For>
                </tbody>
              </table>
            </div>
          </Show>
        )}
      </Show>
      <NewProfile onMade={refresh} />
    </section>
  );
}

function ProfileRow(props: { profile: DeviceProfile; onChange: () => void }): JSX.Element {
  const { client, fleet } = useConsole();
  const { busy, message, act } = createAction();
  const change = async (work: () => Promise<unknown>) => {
    if (await act(work)) props.onChange();
  };
  return (
    <tr data-testid={`profile-${props.profile.name}`}>
      <th scope="row">{props.profile.name}</th>
      <td>{fleet.companies().find((each) => each.id === props.profile.company_id)?.name ?? "–"}</td>
      <td>
        <FormChoice
          form={props.profile.redirect_form ?? null}
          label={t("profiles.column.redirectForm")}
          onChoose={(form) => void change(() => client.changeDeviceProfile(props.profile.id, { redirect_form: form }))}
        />
      </td>
      <td>{time(props.profile.created_at)}</td>
      <td>
        <SureButton
          label={t("profiles.delete")}
          sure={t("profiles.delete.sure")}
          disabled={busy()}
          onSure={() => void change(() => client.deleteDeviceProfile(props.profile.id))}
          testid="profile-delete"
        />
        <FormError message={message()} />
      </td>
    </tr>
  );
}

function NewProfile(props: { onMade: () => void }): JSX.Element {
  const { client, fleet, me } = useConsole();
  const { busy, message, act } = createAction();
  const [name, setName] = createSignal("");
  const [company, setCompany] = createSignal(me.account.company_id);
  const [form, setForm] = createSignal<RedirectForm | null>(null);
  const make = async (event: Event) => {
    event.preventDefault();
    const made = { company_id: company(), name: name(), redirect_form: form() };
    if (!(await act(() => client.createDeviceProfile(made)))) return;
    setName("");
    props.onMade();
  };
  return (
    <form class="profiles-new" onSubmit={(event) => void make(event)}>
      <label>
        {t("profiles.column.name")}
        <input
          required
          maxlength={100}
          value={name()}
          onInput={(event) => setName(event.currentTarget.value)}
          data-testid="profile-name"
        />
      </label>
      <label>
        {t("profiles.column.company")}
        <select onChange={(event) => setCompany(Number(event.currentTarget.value))}>
          <For each={fleet.companies()}>
            {({ id, name: text }) => (
              <option value={id} selected={id === company()}>
                {text}
              </option>
            )}
          </For>
        </select>
      </label>
      <label>
        {t("profiles.column.redirectForm")}
        <FormChoice form={form()} label={t("profiles.column.redirectForm")} onChoose={setForm} />
      </label>
      <button class="button primary small" disabled={busy()} data-testid="profile-make">
        {t("profiles.make")}
      </button>
      <FormError message={message()} testid="profile-error" />
    </form>
  );
}

function FormChoice(props: {
  form: RedirectForm | null;
  label: string;
  onChoose: (form: RedirectForm | null) => void;
}): JSX.Element {
  return (
    <select
      aria-label={props.label}
      onChange={(event) => props.onChoose(FORMS.find((form) => form === event.currentTarget.value) ?? null)}
      data-testid="profile-form"
    >
      <option value="" selected={props.form === null}>
        {t("profiles.form.setting")}
      </option>
      <For each={FORMS}>
        {(form) => (
          <option value={form} selected={props.form === form}>
            {t(`profiles.form.${form}` as Key)}
          </option>
        )}
      </For>
    </select>
  );
}
