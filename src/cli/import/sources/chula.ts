/** How long Chula lets a session live unused, unless its option `session_timeout` says otherwise. */
export const CHULA_TTL_MS = 1_800_000

/** The data without what Chula keeps in it for itself. */
export const withoutCounter = ({
  'REQUESTS-BETWEEN-DB-PERSIST': _,
  ...data
}: Readonly<Record<string, unknown>>): Record<string, unknown> => data
