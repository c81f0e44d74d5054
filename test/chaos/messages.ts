/** What the conductor of a run and its processes say to one another, one line of JSON each. */
import type { BackendKind } from './faults.js'

/** A session as everybody may use it. */
export interface Known {
  readonly name: string
  readonly id: string
}

export interface BackendPlace {
  readonly kind: BackendKind
  readonly url: string
  /** The pattern of CouchDB's databases, where they are not named as usual. */
  readonly database?: string
}

/** What a process is told when it is started. */
export interface AppOptions {
  /** `A1`: the first process in place A. */
  readonly name: string
  readonly seed: number
  readonly historyFile: string
  readonly controlPort: number
  readonly secret: string
  /** Where the names of `servers` and of the backend's URL lead. */
  readonly ports: Readonly<Record<string, number>>
  readonly servers: string
  readonly backend: BackendPlace
  readonly transport: 'nonstick' | 'memjs'
  /** Whether it seals what it keeps. */
  readonly sealed: boolean
  /** How many clients it has. */
  readonly clients: number
  /** Sessions it makes at once, and that nobody ends. */
  readonly keptSessions: number
}

export type ToApp =
  | { readonly ask: 'start'; readonly number: number; readonly known: readonly Known[] }
  | { readonly ask: 'known'; readonly session: Known }
  | { readonly ask: 'ended'; readonly name: string }
  /** Its clients finish what they are doing; answered when they have. */
  | { readonly ask: 'stop'; readonly number: number }
  /** Loads every one of these; answered when all have been. */
  | { readonly ask: 'look'; readonly number: number; readonly client: string; readonly at: readonly Known[] }
  /** Changes each of these durably. */
  | { readonly ask: 'write'; readonly number: number; readonly client: string; readonly at: readonly Known[] }
  /** Closes the store, and then ends. */
  | { readonly ask: 'close'; readonly number: number; readonly deadlineMs: number }

export type FromApp =
  | { readonly say: 'hello'; readonly name: string; readonly secret: string }
  | { readonly say: 'made'; readonly session: Known }
  | { readonly say: 'ended'; readonly name: string }
  | { readonly say: 'done'; readonly number: number; readonly value?: unknown }

/** Whole lines out of a stream of text. */
export const eachLine = (onLine: (line: string) => void): ((text: string) => void) => {
  let rest = ''
  return (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') onLine(line)
  }
}
