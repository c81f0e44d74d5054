import { appendFileSync, closeSync, openSync, writeSync } from 'node:fs'
import type { OperationKind, Outcome } from '../simulation/history.js'

/*
 * What a process writes down while it happens: one line of JSON each, handed to the kernel before anything else is
 * done, so that it outlives a kill. Moments are in ms by the machine's monotonic clock, which all processes share.
 */

/** What a load, or a change that gave the session back, saw. */
export interface Seen {
  readonly log: readonly string[]
  readonly shared?: string
  readonly expiresAt: number
}

export type Line =
  /** An operation begins. `n` is its number in this process. */
  | {
      readonly is: 'call'
      readonly at: number
      readonly n: number
      readonly kind: OperationKind
      readonly session: string
      readonly client: string
      readonly token?: string
      /** Asked to be durable. */
      readonly durable?: boolean
    }
  /** It ended. `round`: operations with the same number were acknowledged together, as one write. */
  | {
      readonly is: 'return'
      readonly at: number
      readonly n: number
      readonly outcome: Outcome
      readonly seen?: Seen
      readonly round?: number
    }
  /** A session is going to be made, or was made out of another by regeneration. */
  | {
      readonly is: 'session'
      readonly at: number
      readonly name: string
      readonly id: string
      readonly key: string
      readonly server: string
      readonly from?: string
    }
  /** A call to a tier failed, begun at `from`; the next line of the same tier says that one succeeded again. */
  | { readonly is: 'trouble'; readonly at: number; readonly from: number; readonly tier: string; readonly why: string }
  | { readonly is: 'well'; readonly at: number; readonly tier: string }
  /** The backend was told of a copy that went round the cache. It counts if the backend took it. */
  | { readonly is: 'takeover'; readonly at: number; readonly key: string; readonly lineage: string }
  /** A lease was placed in the cache: what follows is another life of the session there. */
  | { readonly is: 'lease'; readonly at: number; readonly key: string }
  /** An entry was removed by its token: a lease, or one that the backend has left behind. */
  | { readonly is: 'dropped'; readonly at: number; readonly key: string }
  /** The cache refused a value as too large, and dropped what stood there, at some moment since `from`. */
  | { readonly is: 'too large'; readonly at: number; readonly from: number; readonly key: string }
  /** This process did not run for so long, for whatever reason. */
  | { readonly is: 'stalled'; readonly at: number; readonly from: number }
  | { readonly is: 'close'; readonly at: number; readonly deadlineMs: number }
  | { readonly is: 'closed'; readonly at: number; readonly left: number; readonly destroysLeft: number }
  /** Something that nobody expects of a store: an error outside of its calls. */
  | { readonly is: 'uncaught'; readonly at: number; readonly error: string }

export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

export interface LineWriter {
  write(line: Line): void
  close(): void
}

export const lineWriter = (path: string): LineWriter => {
  const file = openSync(path, 'a')
  return {
    write: (line) => void writeSync(file, `${JSON.stringify(line)}\n`),
    close: () => closeSync(file),
  }
}

/** The lines of a file; a last one that a kill broke off is none. */
export const linesOf = (text: string): readonly Line[] => {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

/** For who writes seldom. */
export const writeDown = (path: string, text: string): void => appendFileSync(path, `${text}\n`)
