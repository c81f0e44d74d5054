import type { Place, WireName } from './faults.js'
import { monotonicMs, writeDown } from './lines.js'

/** What whoever conducts a run did to the world, and when, in ms by the machine's monotonic clock. */
export type Note =
  /** Everything that one cache server held is gone. */
  | { readonly is: 'lost'; readonly at: number; readonly server: string; readonly why: string }
  /** From now on, until it is killed, it has no room left, and evicts something for whatever is stored. */
  | { readonly is: 'full'; readonly at: number; readonly server: string }
  /** One entry is. */
  | { readonly is: 'evicted'; readonly at: number; readonly key: string }
  /** A tier could not be asked, or not be relied on, from a place. */
  | { readonly is: 'down'; readonly at: number; readonly until: number; readonly place: Place; readonly wire: WireName }
  /** A server was not quick enough for a control that no fault befalls: the machine had other things to do. */
  | { readonly is: 'late'; readonly at: number; readonly until: number; readonly wire: WireName }
  /** The process was stopped, and went on. */
  | { readonly is: 'stopped'; readonly at: number; readonly until: number; readonly app: string }
  /** The process is gone, killed or closed. */
  | { readonly is: 'gone'; readonly at: number; readonly app: string; readonly closed: boolean }
  | { readonly is: 'moment'; readonly at: number; readonly what: 'load' | 'end of load' | 'end' | 'written' | 'over' }

export interface Notes {
  readonly all: readonly Note[]
  note(note: Note): void
  /** Prints it, with the time since the load began. */
  tell(what: string): void
  readonly now: () => number
}

export const notes = (file: string, print: (line: string) => void): Notes => {
  const all: Note[] = []
  let began: number | undefined
  return {
    all,
    note: (note) => {
      if (note.is === 'moment' && note.what === 'load') began = note.at
      all.push(note)
      writeDown(file, JSON.stringify(note))
    },
    tell: (what) => {
      const line = `${(began === undefined ? 0 : monotonicMs() - began).toFixed(0).padStart(7)} ms  ${what}`
      print(line)
      writeDown(file, JSON.stringify({ is: 'told', at: monotonicMs(), what }))
    },
    now: monotonicMs,
  }
}
