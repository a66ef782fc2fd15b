// The browser test: signs in, sees 20 vehicles move on the map, opens one and reads the block code of the
// right channel, rising, from the pixels of its live video; looks at the nodes.
//
//   MOTORCADE_URL=http://127.0.0.1:8080 MOTORCADE_PASSWORD=… node e2e/show.mjs [screenshot.png]
//
// CHROMIUM names another browser than /usr/bin/chromium. Without one the test is skipped, with its reason.

import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { chromium } from "playwright-core";

import { decode } from "./blockcode.mjs";

const VEHICLES = 20;
const CHANNEL = 2;
/** So many different codes are read, each later than the one before. */
const CODES = 6;
/** A clip lasts at least twice as many frames: a step back over more than this is its new beginning. */
const CLIP_EDGE = 100;
const WAIT_MS = 60_000;
const POLL_MS = 200;

const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const url = process.env.MOTORCADE_URL;
const password = process.env.MOTORCADE_PASSWORD;
const screenshot = process.argv[2] ?? process.env.MOTORCADE_SCREENSHOT;

if (!existsSync(browserPath)) {
  console.log(`skipped: no chromium at ${browserPath}`);
  process.exit(0);
}
if (!url || !password) {
  console.error("MOTORCADE_URL and MOTORCADE_PASSWORD must say where the platform runs and admin's password");
  process.exit(2);
}

const browser = await chromium.launch({
  executablePath: browserPath,
  headless: true,
  args: [
    // Chromium has no sandbox for root; the pages are the platform's own.
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-dev-shm-usage",
  ],
});
try {
  await run();
  console.log("ok");
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

async function run() {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    colorScheme: process.env.MOTORCADE_THEME ?? "light",
    locale: process.env.MOTORCADE_LOCALE ?? "en-GB",
    ignoreHTTPSErrors: true,
  });
  const page = await context.newPage();
  const host = new URL(url).hostname;
  const foreign = [];
  const errors = [];
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (/^(https?|wss?):$/.test(target.protocol) && target.hostname !== host) foreign.push(request.url());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  const failing = async (step, work) => {
    try {
      return await work();
    } catch (error) {
      if (screenshot) await shoot(page, screenshot.replace(/(\.png)?$/, "-failed.png"));
      const seen = errors.length ? `; the page reported: ${errors.join("; ")}` : "";
      throw new Error(`${step}: ${error.message}${seen}`);
    }
  };
  const id = (name) => page.getByTestId(name);

  await failing("sign in", async () => {
    await page.goto(url, { waitUntil: "domcontentloaded" });
    await id("account").fill("admin");
    await id("password").fill(password);
    await id("sign-in").click();
    await id("workplace").or(id("password-new")).first().waitFor({ timeout: WAIT_MS });
    if (await id("password-new").isVisible()) {
      // A generated password is changed at the first log-in.
      if (await id("password-old").isVisible()) await id("password-old").fill(password);
      await id("password-new").fill(`${password}-changed`);
      await id("password-again").fill(`${password}-changed`);
      await id("password-set").click();
      await id("workplace").waitFor({ timeout: WAIT_MS });
      console.log("changed the generated password");
    }
  });
  console.log("signed in");

  const drawn = () => page.evaluate(() => window.motorcade.vehicles());
  const first = await failing(`${VEHICLES} vehicles on the map`, () =>
    until(async () => {
      const list = await drawn();
      return list.length >= VEHICLES && list;
    }),
  );
  const moved = await failing("vehicles move", () =>
    until(async () => {
      const before = new Map(first.map((vehicle) => [vehicle.id, vehicle]));
      const list = (await drawn()).filter(({ id, lng, lat }) => {
        const old = before.get(id);
        return old && (old.lng !== lng || old.lat !== lat);
      });
      return list.length >= Math.min(VEHICLES, first.length) && list;
    }),
  );
  console.log(`${first.length} vehicles on the map, ${moved.length} of them have moved`);

  await failing("open a vehicle", async () => {
    const chosen = moved[0];
    await id("vehicle-search").fill(chosen.plate);
    await id(`vehicle-${chosen.id}`).click();
    await id("vehicle-panel").waitFor();
    const plate = await id("vehicle-plate").innerText();
    if (plate !== chosen.plate) throw new Error(`the panel shows ${plate}, not ${chosen.plate}`);
    console.log(`opened ${plate}`);
  });

  await failing("live video", async () => {
    await id("tab-live").click();
    await id("profile-main").click();
    await id(`live-start-${CHANNEL}`).click();
    const codes = [];
    await until(async () => {
      const code = await readCode(page, CHANNEL);
      const last = codes.at(-1);
      if (!code || code.frame === last?.frame) return false;
      // The clip has ended and begun again: what rises is counted from here.
      if (last && code.frame < CLIP_EDGE && last.frame > code.frame + CLIP_EDGE) codes.length = 0;
      codes.push(code);
      return codes.length >= CODES;
    }).catch(async (error) => {
      const message = await page.getByTestId(`live-message-${CHANNEL}`).allInnerTexts();
      throw new Error(`${error.message}; ${codes.length} codes read; the tile says: ${message.join(" ")}`);
    });
    for (const [n, { channel, frame }] of codes.entries()) {
      if (channel !== CHANNEL) throw new Error(`the picture is of channel ${channel}, not ${CHANNEL}`);
      if (n > 0 && frame <= codes[n - 1].frame) throw new Error(`frame ${frame} after ${codes[n - 1].frame}`);
    }
    console.log(`channel ${CHANNEL} shows frames ${codes.map(({ frame }) => frame).join(", ")}`);
  });

  await failing("nodes", async () => {
    await id("section-nodes").click();
    await page.locator('[data-testid^="node-"] [data-testid="node-state"]').first().waitFor();
    await id("node-events").waitFor();
    const names = await page.locator(".nodes tbody th").allInnerTexts();
    await id("section-vehicles").click();
    await id("nodes").waitFor({ state: "detached" });
    console.log(`nodes ${names.join(", ")}`);
  });

  if (screenshot) {
    await failing("screenshot", async () => {
      await id("vehicle-search").fill("");
      await id("live-start-all").click();
      await until(async () => {
        const tiles = await page.locator(".tile").evaluateAll((all) => all.map((tile) => tile.dataset.stage));
        return tiles.every((stage) => stage === "playing");
      });
      await shoot(page, screenshot);
    });
    console.log("screenshot taken");
  }
  if (foreign.length) throw new Error(`requests left the platform: ${foreign.join(", ")}`);
  if (errors.length) throw new Error(`the page reported: ${errors.join("; ")}`);
}

/** The block code in the video of `channel` as it is shown now; null where there is none. */
async function readCode(page, channel) {
  const picture = await page.evaluate((channel) => {
    const video = document.querySelector(`video[data-channel="${channel}"]`);
    if (!video?.videoWidth) return null;
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    // The code is at the top.
    canvas.height = Math.min(video.videoHeight, 64);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(video, 0, 0);
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    const grey = (n) => (data[n * 4] + data[n * 4 + 1] + data[n * 4 + 2]) / 3;
    return { width: canvas.width, grey: Array.from({ length: data.length / 4 }, (_, n) => grey(n)) };
  }, channel);
  return picture && decode(picture.grey, picture.width);
}

async function shoot(page, path) {
  mkdirSync(dirname(path), { recursive: true });
  await page.screenshot({ path });
}

async function until(condition) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${WAIT_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
