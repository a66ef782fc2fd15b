// The light build of hls.js (no subtitles, no alternate audio, no DRM) has the types of the full one.
declare module "hls.js/light" {
  export * from "hls.js";
  export { default } from "hls.js";
}
