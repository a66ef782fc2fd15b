// How the console is built, and the proxy of `npm run dev` to a running motorcade (MOTORCADE_URL).
import { defineConfig } from "vitest/config";
import solid from "vite-plugin-solid";

const platform = process.env["MOTORCADE_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [solid()],
  build: {
    target: "es2022",
    // The map library is one module of that size; the players load only when somebody watches.
    chunkSizeWarningLimit: 1300,
    // Fonts and pictures stay files: a page served with a strict Content-Security-Policy has no data: URLs.
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        manualChunks: (id: string) => (id.includes("node_modules/maplibre-gl") ? "map" : undefined),
      },
    },
  },
  server: {
    proxy: {
      "/api": platform,
      "/console-settings.json": platform,
      "/openapi.json": platform,
      "/docs": platform,
    },
  },
  test: {
    environment: "node",
    include: ["src/**/*.test.ts", "e2e/**/*.test.ts"],
  },
});
