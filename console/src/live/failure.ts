// Why a stream does not play, from what players and the media server say. Pure.

export type Failure =
  /** No player of this browser decodes it. */
  | "unsupported"
  /** It played until something in it could not be decoded. */
  | "broken"
  | "noPicture"
  | "stalled"
  | "lost"
  | "ended"
  /** Nobody has looked at it for long. */
  | "hidden"
  /** The terminal's only port carries another stream of the channel. */
  | "taken"
  | "refused"
  | "away"
  | "forbidden";

/** What the media server has said of the stream itself: it says the same to every player. */
export const TOLD: ReadonlySet<Failure> = new Set(["noPicture", "hidden", "taken", "refused", "away", "forbidden"]);

export class PlayError extends Error {
  constructor(
    readonly failure: Failure,
    readonly detail = "",
    /** Pictures had been seen before it failed. */
    readonly played = false,
  ) {
    super(detail || failure);
    this.name = "PlayError";
  }

  /** The same of a stream that has played: its codec is one that this browser has. */
  afterPictures(): PlayError {
    return new PlayError(this.failure === "unsupported" ? "broken" : this.failure, this.detail, true);
  }
}

/** Of mpegts.js: the kind of its error, and the HTTP status where there was one. */
export function flvFailure(kind: string, status?: number): Failure {
  return kind === "MediaError" ? "unsupported" : ofStatus(status);
}

/** Of hls.js: the details of its error, and the HTTP status where there was one. */
export function hlsFailure(details: string, status?: number): Failure {
  return /codec/i.test(details) ? "unsupported" : ofStatus(status);
}

/** The media server's statuses (docs/video-links.md). */
function ofStatus(status: number | undefined): Failure {
  switch (status) {
    case 401:
    case 403:
    case 404:
      return "forbidden";
    case 409:
      return "taken";
    case 502:
      return "refused";
    case 503:
      return "away";
    case 504:
      return "noPicture";
    default:
      return "lost";
  }
}
