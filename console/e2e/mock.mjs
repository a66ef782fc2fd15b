// A stand-in for the platform, for work on the console alone: the v1 shapes over an invented fleet, and live
// pictures with the block code through the ffmpeg program.
//
//   node e2e/mock.mjs [--port 8099] [--vehicles 24]   serves dist/ until interrupted
//   node e2e/mock.mjs --run                           runs the browser tests against itself

import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { SQUARE, WIDTH, encode } from "./blockcode.mjs";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const PASSWORD = "mock-password";
const ACCESS_S = 60;
const HEIGHT = 360;
const FPS = 15;
/** Frame numbers start again, as in the simulator's clips. */
const CLIP_FRAMES = 300;

const option = (name, fallback) => {
  const place = process.argv.indexOf(`--${name}`);
  return place < 0 ? fallback : Number(process.argv[place + 1]);
};
const run = process.argv.includes("--run");
const count = option("vehicles", 24);

// The invented fleet: companies, vehicles that drive closed curves around a city, alarms, knocking terminals.

const companies = [
  { id: 1, name: "Motorcade Demo", parent_id: null },
  { id: 2, name: "City buses", parent_id: 1 },
  { id: 3, name: "Coaches", parent_id: 1 },
  { id: 4, name: "Logistics", parent_id: 1 },
  { id: 5, name: "Cold chain", parent_id: 4 },
];
const start = Date.now();
const vehicles = Array.from({ length: count }, (_, n) => ({
  id: n + 1,
  company_id: 2 + (n % 4),
  plate: `${["BUS", "COACH", "TRUCK", "COLD"][n % 4]} ${101 + n}`,
  plate_colour: "yellow",
  created_at: new Date(start).toISOString(),
  terminals: [
    {
      id: n + 101,
      sim: String(13900000000 + n),
      device_no: `M${1000 + n}`,
      online: n % 12 !== 11,
      channels: [1, 2, 3, 4].map((number) => ({ number, name: ["Road", "Driver", "Door", "Cabin"][number - 1] })),
    },
  ],
}));
let alarms = vehicles.slice(0, 6).map((vehicle, n) => ({
  id: randomUUID(),
  terminal: vehicle.terminals[0].id,
  vehicle_id: vehicle.id,
  plate: vehicle.plate,
  company_id: vehicle.company_id,
  kind: ["overspeed", "fatigue_driving", "video_lost", "emergency", "power_lost", "collision"][n],
  start: new Date(start - n * 1_500_000).toISOString(),
  end: n < 3 ? null : new Date(start - n * 1_500_000 + 240_000).toISOString(),
  confirmed: true,
  latitude: 39.9,
  longitude: 116.4,
  speed_kmh: 61,
  handling: n === 5 ? { note: "Called the driver", handled_at: new Date(start).toISOString(), handled_by: 1, handled_by_name: "admin" } : null,
}));
let pending = ["13800001111", "13800002222"].map((sim) => ({
  sim,
  plate: "京A88888",
  plate_colour: "blue",
  province: 11,
  city: 100,
  manufacturer: "70111",
  model: "MDVR-8",
  terminal_no: "A000001",
  edition: 2019,
  peer: "10.0.0.7:51220",
  first_seen_at: new Date(start - 60_000).toISOString(),
  last_seen_at: new Date(start - 5_000).toISOString(),
  attempts: 4,
}));

let profiles = [];
const node = (name, roles, change = {}) => ({
  name,
  roles,
  version: "0.1.0",
  started_at: new Date(start - 7_200_000).toISOString(),
  gateway: roles.includes("gateway") ? `${name}.example:6608` : null,
  media: null,
  web: null,
  terminals_max: 16_000,
  leads: false,
  draining: false,
  seen: true,
  sighting: {
    missed: 0,
    measured_at: new Date().toISOString(),
    clock_offset_ms: 12,
    clock_right: true,
    draining: false,
    load: {
      terminals: roles.includes("gateway") ? 4_120 : 0,
      viewers: 7,
      cpu_permille: 183,
      memory_bytes: 3.1 * 2 ** 30,
      memory_max_bytes: 8 * 2 ** 30,
      storage_bytes: 41 * 2 ** 30,
      storage_max_bytes: 200 * 2 ** 30,
    },
  },
  ...change,
});
const nodes = [
  node("gw1", ["gateway"]),
  node("gw2", ["gateway"], { seen: false, sighting: null }),
  node("login1", ["login", "api"], { leads: true }),
];
const nodeEvents = Array.from({ length: 30 }, (_, n) => ({
  id: 30 - n,
  at: new Date(start - (n + 1) * 60_000).toISOString(),
  node: "gw2",
  kind: n % 2 ? "joined" : "lost",
  epoch: 5,
  detail: "",
}));

function position(n, ms) {
  const vehicle = vehicles[n];
  const wave = (at) => {
    const turn = at / (260_000 + n * 9_000) + n * 1.7;
    const radius = 0.02 + (n % 7) * 0.006;
    const [lng, lat] = [116.4 + (n % 5) * 0.008, 39.91 + (n % 3) * 0.009];
    return [
      lng + radius * 1.3 * (Math.cos(turn) + 0.25 * Math.cos(3 * turn + n)),
      lat + radius * (Math.sin(turn) + 0.25 * Math.sin(2 * turn)),
    ];
  };
  const stopped = n % 6 === 5;
  const at = stopped ? start : ms;
  const [lng, lat] = wave(at);
  const [lng2, lat2] = wave(at + 1_000);
  const north = lat2 - lat;
  const east = (lng2 - lng) * Math.cos((lat * Math.PI) / 180);
  return {
    terminal: vehicle.terminals[0].id,
    device_time: new Date(ms).toISOString(),
    received_at: new Date(ms).toISOString(),
    latitude: lat,
    longitude: lng,
    altitude_m: 44,
    speed_kmh: stopped ? 0 : Math.round(Math.hypot(north, east) * 111_320 * 36) / 10,
    direction_deg: Math.round(((Math.atan2(east, north) * 180) / Math.PI + 360) % 360) % 360,
    status: 3,
    alarms: n < 3 ? [alarms[n].kind] : [],
    mileage_km: 48_210.4 + n,
    fuel_l: 62.5,
    signal: 27,
    satellites: 14,
  };
}

// HTTP

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };
/** As the platform says it. */
const POLICY =
  "default-src 'self'; script-src 'self'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data: blob:; connect-src 'self' http: https: ws: wss:; media-src 'self' blob: http: https:; " +
  "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
let refresh = null;
const access = new Map();
/** The second account must change the password that it was given. */
const passwords = { admin: PASSWORD, newcomer: "given" };
let origin = "";

function tokens() {
  refresh = randomUUID();
  const token = randomUUID();
  access.set(token, Date.now() + ACCESS_S * 1000);
  return { access_token: token, expires_in_s: ACCESS_S, refresh_token: refresh, must_change_password: false };
}

const page = (items, url) => {
  const offset = Number(url.searchParams.get("cursor") ?? 0);
  const end = offset + Number(url.searchParams.get("limit") ?? 50);
  return { items: items.slice(offset, end), next_cursor: end < items.length ? String(end) : null };
};
const failure = (status, title, detail) => Object.assign(new Error(detail), { status, title });

async function api(request, url, body, reply) {
  const path = url.pathname.slice("/api/v1".length);
  const route = `${request.method} ${path}`;
  if (route === "POST /auth/login") {
    if (passwords[body.account] !== body.password) throw failure(401, "Unauthorized", "account or password wrong");
    return { ...tokens(), must_change_password: body.password === "given" };
  }
  if (route === "POST /auth/refresh") {
    if (!refresh || body.refresh_token !== refresh) throw failure(401, "Unauthorized", "the refresh token was used before");
    return tokens();
  }
  if (!((access.get((request.headers.authorization ?? "").slice("Bearer ".length)) ?? 0) > Date.now())) {
    throw failure(401, "Unauthorized", "no valid token");
  }
  if (route === "POST /auth/logout") return (refresh = null), undefined;
  let found;
  const match = (method, pattern) => (found = request.method === method ? pattern.exec(path) : null);
  if (route === "POST /me/password") {
    if (body.old !== passwords.newcomer) throw failure(403, "Forbidden", "the old password is wrong");
    passwords.newcomer = body.new;
    // As on the platform, every login of the account ends.
    access.clear();
    refresh = null;
    return undefined;
  }
  if (route === "GET /me") {
    return {
      account: { id: 1, name: "admin", company_id: 1 },
      permissions: ["view", "live", "handle_alarms", "manage_vehicles", "manage_accounts", "configure_terminals"],
    };
  }
  if (route === "GET /companies") return page(companies, url);
  if (route === "GET /vehicles") return page(vehicles, url);
  if (route === "GET /positions/latest") {
    const latest = vehicles.map((vehicle, n) => ({
      terminal_id: vehicle.terminals[0].id,
      device_no: vehicle.terminals[0].device_no,
      vehicle_id: vehicle.id,
      plate: vehicle.plate,
      company_id: vehicle.company_id,
      online: vehicle.terminals[0].online,
      last_seen_at: new Date().toISOString(),
      position: position(n, Date.now()),
    }));
    return page(latest, url);
  }
  if (route === "GET /alarms") {
    const [active, handled] = [url.searchParams.get("active"), url.searchParams.get("handled")];
    return page(
      alarms.filter(
        (alarm) =>
          (active === null || (alarm.end === null) === (active === "true")) &&
          (handled === null || (alarm.handling !== null) === (handled === "true")),
      ),
      url,
    );
  }
  if (match("POST", /^\/alarms\/([^/]+)\/handle$/) || match("DELETE", /^\/alarms\/([^/]+)\/handle$/)) {
    const alarm = alarms.find(({ id }) => id === found[1]);
    if (!alarm) throw failure(404, "Not Found", "no such alarm");
    const done = request.method === "POST";
    alarm.handling = done
      ? { note: body.note, handled_at: new Date().toISOString(), handled_by: 1, handled_by_name: "admin" }
      : null;
    return done ? alarm : undefined;
  }
  if (route === "GET /pending-terminals") return page(pending, url);
  if (match("POST", /^\/pending-terminals\/(\d+)\/approve$/) || match("DELETE", /^\/pending-terminals\/(\d+)$/)) {
    pending = pending.filter(({ sim }) => sim !== found[1]);
    return request.method === "POST" ? vehicles[0].terminals[0] : undefined;
  }
  if (route === "GET /device-profiles") return page(profiles, url);
  if (route === "POST /device-profiles") {
    if (profiles.some(({ name }) => name === body.name)) throw failure(409, "Conflict", "a device profile of this name exists in this company");
    profiles.push({ id: profiles.length + 1, created_at: new Date().toISOString(), ...body });
    return profiles.at(-1);
  }
  if (match("PATCH", /^\/device-profiles\/(\d+)$/)) return Object.assign(profiles.find(({ id }) => id === Number(found[1])), body);
  if (match("DELETE", /^\/device-profiles\/(\d+)$/)) {
    const has = ({ terminals }) => terminals.some((terminal) => terminal.device_profile_id === Number(found[1]));
    if (vehicles.some(has)) throw failure(409, "Conflict", "terminals still have the device profile");
    profiles = profiles.filter(({ id }) => id !== Number(found[1]));
    return undefined;
  }
  if (match("PATCH", /^\/terminals\/(\d+)$/)) {
    const terminal = vehicles.flatMap(({ terminals }) => terminals).find(({ id }) => id === Number(found[1]));
    return Object.assign(terminal, body);
  }
  if (route === "GET /nodes") return { node: "login1", leader: { node: "login1", epoch: 5 }, etcd_away_since: null, nodes };
  if (match("POST", /^\/nodes\/([a-z0-9-]+)\/(un)?drain$/)) {
    const marked = nodes.find(({ name }) => name === found[1]);
    if (!marked) throw failure(404, "Not Found", "no such node");
    if (!marked.seen) throw failure(503, "Service Unavailable", "etcd is away");
    marked.draining = !found[2];
    const kind = marked.draining ? "draining" : "undrained";
    nodeEvents.unshift({ id: nodeEvents[0].id + 1, at: new Date().toISOString(), node: marked.name, kind, epoch: 5, detail: "" });
    return undefined;
  }
  if (route === "GET /node-events") return page(nodeEvents, url);
  if (match("GET", /^\/vehicles\/(\d+)\/track$/)) {
    const [from, to] = ["from", "to"].map((name) => Date.parse(url.searchParams.get(name)));
    const [first, last] = [Math.max(from, Date.now() - 3 * 3_600_000), Math.min(to, Date.now())];
    const points = [];
    for (let ms = Math.ceil(first / 5_000) * 5_000; ms < last; ms += 5_000) points.push(position(found[1] - 1, ms));
    return page(points, url);
  }
  if (match("POST", /^\/vehicles\/(\d+)\/channels\/(\d+)\/live$/)) {
    const vehicle = vehicles[found[1] - 1];
    if (!vehicle?.terminals[0].online) throw failure(409, "Conflict", "the terminal is offline");
    const stream = `live-${body.terminal_id}-${found[2]}-${body.profile}`;
    return {
      stream,
      expires_at: new Date(Date.now() + 60_000).toISOString(),
      urls: {
        http_flv: `${origin}/live/${stream}.flv?ticket=mock`,
        ws_flv: `${origin.replace("http", "ws")}/live/${stream}.flv?ticket=mock`,
        hls: `${origin}/live/${stream}/index.m3u8?ticket=mock`,
      },
      av: null,
    };
  }
  if (route === "GET /events") {
    reply.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    // A large fleet reports every ten seconds, a tenth of it each second.
    const share = vehicles.length > 1_000 ? 10 : 1;
    let round = 0;
    const timer = setInterval(() => {
      round += 1;
      vehicles.forEach((vehicle, n) => {
        if (n % share !== round % share || !vehicle.terminals[0].online) return;
        const event = { type: "position", ...position(n, Date.now()), vehicle_id: vehicle.id };
        reply.write(`event: position\ndata: ${JSON.stringify(event)}\n\n`);
      });
    }, 1_000);
    request.on("close", () => clearInterval(timer));
    return reply;
  }
  throw failure(404, "Not Found", `no route ${route}`);
}

async function file(url, reply) {
  const path = join(DIST, normalize(url.pathname === "/" ? "/index.html" : url.pathname));
  if (!path.startsWith(DIST)) throw failure(404, "Not Found", "no such file");
  const { size } = await stat(path).catch(() => {
    throw failure(404, "Not Found", "no such file");
  });
  reply.writeHead(200, {
    "content-type": TYPES[extname(path)] ?? "application/octet-stream",
    "content-length": size,
    "content-security-policy": POLICY,
  });
  createReadStream(path).pipe(reply);
}

const server = createServer(async (request, reply) => {
  const url = new URL(request.url, "http://mock");
  try {
    if (url.pathname.startsWith("/live/") && url.pathname.endsWith(".flv")) {
      reply.writeHead(200, { "content-type": "video/x-flv", "access-control-allow-origin": "*" });
      const stop = stream(url, (piece) => reply.write(piece));
      request.on("close", stop);
      return;
    }
    if (url.pathname === "/console-settings.json") {
      reply.writeHead(200, { "content-type": "application/json" });
      return reply.end("{}");
    }
    if (!url.pathname.startsWith("/api/v1/")) return await file(url, reply);
    let text = "";
    for await (const piece of request) text += piece;
    const answer = await api(request, url, text ? JSON.parse(text) : {}, reply);
    if (answer === reply) return;
    reply.writeHead(answer === undefined ? 204 : 200, { "content-type": "application/json" });
    reply.end(answer === undefined ? undefined : JSON.stringify(answer));
  } catch (error) {
    const status = error.status ?? 500;
    reply.writeHead(status, { "content-type": "application/problem+json" });
    reply.end(JSON.stringify({ type: "about:blank", title: error.title ?? "Error", status, detail: error.message }));
  }
});

server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  const stop = stream(new URL(request.url, "http://mock"), (piece) => {
    const head = Buffer.alloc(10);
    head[0] = 0x82;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(piece.length), 2);
    socket.write(Buffer.concat([head, piece]));
  });
  socket.on("close", stop);
  socket.on("error", stop);
});

// Pictures: grey frames with the block code, made here and packed by ffmpeg.

function stream(url, write) {
  const channel = Number(/live-\d+-(\d+)-/.exec(url.pathname)?.[1] ?? 0);
  const ffmpeg = spawn(
    "ffmpeg",
    [
      ...["-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", `${WIDTH}x${HEIGHT}`, "-r", String(FPS), "-i", "pipe:0"],
      ...["-f", "lavfi", "-i", `sine=frequency=${220 * channel}:sample_rate=44100`],
      ...["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", String(FPS)],
      ...["-c:a", "aac", "-b:a", "48k", "-f", "flv", "pipe:1"],
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  ffmpeg.stdout.on("data", write);
  ffmpeg.stdin.on("error", () => undefined);
  let frame = 0;
  const timer = setInterval(() => ffmpeg.stdin.write(picture(channel, frame++ % CLIP_FRAMES)), 1000 / FPS);
  return () => {
    clearInterval(timer);
    ffmpeg.kill("SIGKILL");
  };
}

function picture(channel, frame) {
  const pixels = Buffer.alloc(WIDTH * HEIGHT);
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) pixels[y * WIDTH + x] = 60 + ((x + y * channel + frame * 3) % 128);
  }
  encode(channel, frame).forEach((bit, n) => {
    for (let y = 0; y < SQUARE; y++) pixels.fill(bit ? 235 : 16, y * WIDTH + n * SQUARE, y * WIDTH + (n + 1) * SQUARE);
  });
  return pixels;
}

server.listen(run ? 0 : option("port", 8099), "127.0.0.1", async () => {
  origin = `http://127.0.0.1:${server.address().port}`;
  console.log(`mock at ${origin}, account admin, password ${PASSWORD}`);
  if (!run) return;
  for (const test of ["show.mjs", "tour.mjs"]) {
    const code = await new Promise((resolve) => {
      spawn(process.execPath, [fileURLToPath(new URL(test, import.meta.url))], {
        stdio: "inherit",
        env: { ...process.env, MOTORCADE_URL: origin, MOTORCADE_PASSWORD: PASSWORD },
      }).on("exit", resolve);
    });
    if (code !== 0) process.exit(code ?? 1);
  }
  process.exit(0);
});
