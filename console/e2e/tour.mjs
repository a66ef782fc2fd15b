// The second browser test, against the stand-in platform only: every screen, its empty and failing states, both
// languages and themes, and the decisions that a person takes in them.
//
//   MOTORCADE_URL=… MOTORCADE_PASSWORD=… node e2e/tour.mjs [folder for screenshots]

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const url = process.env.MOTORCADE_URL;
const password = process.env.MOTORCADE_PASSWORD;
const folder = process.argv[2] ?? process.env.MOTORCADE_SCREENSHOTS;

if (!existsSync(browserPath)) {
  console.log(`skipped: no chromium at ${browserPath}`);
  process.exit(0);
}
if (folder) mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: "dark", locale: "en-GB" });
page.setDefaultTimeout(15_000);
const id = (name) => page.getByTestId(name);
const errors = [];
page.on("pageerror", (error) => errors.push(error.message));

let step = "";
async function visit(name, work) {
  step = name;
  await work();
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
  console.log(name);
}

try {
  await visit("sign-in-refused", async () => {
    await page.goto(url);
    await id("account").fill("admin");
    await id("password").fill("wrong");
    await id("sign-in").click();
    await id("sign-in-error").getByText("wrong").waitFor();
  });
  await visit("given-password-is-changed", async () => {
    await id("account").fill("newcomer");
    await id("password").fill("given");
    await id("sign-in").click();
    for (const [old, again, reply] of [["given", "other", "differ"], ["wrong", "new password", "current password is wrong"]]) {
      await id("password-old").fill(old);
      await id("password-new").fill("new password");
      await id("password-again").fill(again);
      await id("password-set").click();
      await page.getByRole("alert").getByText(reply).waitFor();
    }
    await id("password-old").fill("given");
    await id("password-set").click();
    await id("workplace").waitFor();
    await id("account-menu").click();
    await id("sign-out").click();
    await id("account").fill("admin");
  });
  await visit("fleet-dark", async () => {
    await id("password").fill(password);
    await id("sign-in").click();
    await id("link").getByText("Live").waitFor();
    await page.waitForFunction(() => window.motorcade.vehicles().length > 0);
  });
  await visit("search-by-keyboard", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("coach 1");
    await page.keyboard.press("ArrowDown");
    for (let n = 0; n < 3; n++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await id("vehicle-plate").getByText("COACH").waitFor();
  });
  await visit("status", async () => {
    await page.waitForFunction(() => /\d/.test(document.querySelector("[data-testid=vehicle-time]")?.textContent ?? ""));
  });
  await visit("reload-keeps-login-and-vehicle", async () => {
    await page.reload();
    await id("vehicle-plate").getByText("COACH").waitFor();
  });
  await visit("track", async () => {
    await id("tab-track").click();
    await id("replay").waitFor();
    const before = await id("track-time").innerText();
    await id("track-play").click();
    await page.waitForFunction((text) => document.querySelector("[data-testid=track-time]")?.textContent !== text, before);
    await id("track-play").click();
    await id("track-slider").fill(await id("track-slider").evaluate((slider) => String(Math.round((+slider.min + +slider.max * 2) / 3))));
  });
  await visit("no-match", async () => {
    await page.keyboard.press("Escape");
    await id("vehicle-panel").waitFor({ state: "detached" });
    await id("vehicle-search").fill("no such plate");
    await id("empty").waitFor();
    await id("vehicle-search").fill("");
  });
  await visit("alarm-handled-and-undone", async () => {
    await id("section-alarms").click();
    const first = id("alarm-list").locator("li").first();
    await first.getByTestId("alarm-handle").click();
    await first.getByTestId("alarm-note").fill("Driver called");
    await first.getByTestId("alarm-save").click();
    await first.getByText("Driver called").waitFor();
    await first.getByTestId("alarm-undo").click();
    await first.getByTestId("alarm-undo").click();
    await first.getByTestId("alarm-handle").waitFor();
    await id("alarms-all").click();
    await id("alarm-list").locator("li").nth(5).waitFor();
  });
  await visit("pending", async () => {
    await id("section-pending").click();
    const cards = id("pending-list").locator("article");
    await cards.nth(1).waitFor();
    await cards.first().getByTestId("pending-approve").click();
    await cards.first().getByTestId("pending-plate").fill("NEW 1");
  });
  await visit("pending-decided", async () => {
    await id("pending-save").click();
    await id("pending-list").locator("article").nth(1).waitFor({ state: "detached" });
    await id("pending-reject").click();
    await id("pending-reject").click();
    await id("empty").waitFor();
  });
  await visit("profiles", async () => {
    await id("section-profiles").click();
    await id("profiles").getByTestId("empty").waitFor();
    for (const name of ["Model A", "Model B"]) {
      await id("profile-name").fill(name);
      await id("profile-make").click();
      await id(`profile-${name}`).waitFor();
    }
    await id("profile-name").fill("Model A");
    await id("profile-make").click();
    await id("profile-error").getByText("exists in this company").waitFor();
    const form = id("profile-Model A").getByTestId("profile-form");
    await form.selectOption("raw_words");
    await id("section-vehicles").click();
    await id("vehicle-1").click();
    await id("tab-overview").click();
    await id("terminal-profile").selectOption({ label: "Model A" });
    await id("section-profiles").click();
    if ((await form.inputValue()) !== "raw_words") throw new Error("the form is not kept");
    for (const name of ["Model A", "Model B"]) {
      await id(`profile-${name}`).getByTestId("profile-delete").click();
      await id(`profile-${name}`).getByTestId("profile-delete").click();
    }
    await id("profile-Model B").waitFor({ state: "detached" });
    await id("profile-Model A").getByRole("alert").getByText("still have").waitFor();
  });
  await visit("nodes", async () => {
    await id("section-nodes").click();
    await id("node-gw2").getByText("Not seen").waitFor();
    await id("node-login1").getByText("Leader").waitFor();
    await id("node-events-more").click();
    await id("node-event-1").waitFor();
  });
  await visit("node-drained-and-taken-back", async () => {
    const gw1 = id("node-gw1");
    await gw1.getByTestId("node-drain").click();
    await gw1.getByTestId("node-drain").click();
    const state = (text) => gw1.getByTestId("node-state").getByText(text).waitFor();
    await state("Draining");
    await id("node-events").getByText("drains").first().waitFor();
    await gw1.getByTestId("node-undrain").click();
    await gw1.getByTestId("node-undrain").click();
    await state("Serving");
    await id("node-gw2").getByTestId("node-drain").click();
    await id("node-gw2").getByTestId("node-drain").click();
    await id("node-gw2").getByRole("alert").getByText("busy").waitFor();
  });
  await visit("live-refused", async () => {
    await page.route("**/live", (route) =>
      route.fulfill({
        status: 409,
        contentType: "application/problem+json",
        body: JSON.stringify({ type: "about:blank", title: "Conflict", status: 409, detail: "another request runs on the port" }),
      }),
    );
    await id("section-vehicles").click();
    await id("vehicle-1").click();
    await id("tab-live").click();
    await id("live-start-1").click();
    await id("live-message-1").getByText("Another request runs").waitFor();
    await page.unroute("**/live");
    await page.waitForFunction(() => document.querySelector("[data-testid=tile-1]")?.dataset.stage === "playing");
    await id("live-stop-1").click();
    await id("live-start-1").waitFor();
  });
  await visit("light-and-chinese", async () => {
    await id("account-menu").click();
    await id("theme").selectOption("light");
    await page.locator(".menu select").first().selectOption("zh-CN");
    await page.getByText("车辆").first().waitFor();
  });
  await visit("server-away", async () => {
    await page.keyboard.press("Escape");
    await page.route("**/api/v1/**", (route) => route.abort());
    await id("section-alarms").click();
    await id("problem").waitFor();
    await page.unroute("**/api/v1/**");
  });
  await visit("signed-out", async () => {
    await id("account-menu").click();
    await id("sign-out").click();
    await id("sign-in").waitFor();
    if (await page.evaluate(() => sessionStorage.length)) throw new Error("tokens stay behind");
  });
  await visit("login-ended-by-the-server", async () => {
    await id("account").fill("admin");
    await id("password").fill(password);
    await id("sign-in").click();
    await id("workplace").waitFor();
    await page.route("**/api/v1/**", (route) =>
      route.fulfill({
        status: 401,
        contentType: "application/problem+json",
        body: JSON.stringify({ type: "about:blank", title: "Unauthorized", status: 401, detail: "the login has ended" }),
      }),
    );
    // Whichever request comes first ends it, maybe before the click.
    await id("section-alarms").click({ timeout: 2_000 }).catch(() => undefined);
    await id("sign-in-error").waitFor();
  });
  if (errors.length) throw new Error(`the page reported: ${errors.join("; ")}`);
  console.log("ok");
} catch (error) {
  if (folder) await page.screenshot({ path: join(folder, "failed.png") });
  console.error(`FAILED at ${step}: ${error.message} ${errors.join("; ")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
