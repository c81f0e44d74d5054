import type { LegacySession } from '../../contract/legacy.js'
import type { Runtime } from '../../contract/time.js'

/** What stands under one name in a source. */
export type Item =
  | {
      /** By what the source removes it: a key, the name of a file. It may hold the id, and is shown nowhere. */
      readonly ref: string
      readonly id: string
      readonly session: LegacySession
    }
  /** A session that has ended by what the source tells of it. */
  | { readonly ref: string; readonly ended: true }
  /** What is no session that can be read, and why, in words without any of its content. */
  | { readonly ref: string; readonly unreadable: string }

/** A part of a source. */
export interface Page {
  readonly items: readonly Item[]
  /** Where the next part begins. `undefined`: nothing follows. */
  readonly next: string | undefined
  /**
   * The same, as it may be written down: no id, and no more of one than nobody could make an id of. What stands between this
   * place and `next` may come once more.
   */
  readonly resumeAt: string | undefined
}

/**
 * A place where another session store keeps its sessions. It is read part by part, so that memory stays flat however many
 * there are. What is written there meanwhile may be found or not; what stands there all the time is found.
 */
export interface Source {
  /** About how many there are; `undefined` where that cannot be asked. */
  count(): Promise<number | undefined>
  /** @param after `next` or `resumeAt` of a part; `undefined` for the first */
  page(after: string | undefined): Promise<Page>
  /** Removes what stands there. What is gone already is passed over. */
  remove(refs: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** What a source is opened with, as the flags say it. */
export interface SourceOptions {
  /** A URL, or the path of a folder or a file. */
  readonly at: string
  /** What the names of its keys begin with. */
  readonly prefix: string | undefined
  /** The name of its table, perhaps with a schema. */
  readonly table: string | undefined
  /** How long it lets a session live unused, in ms, where it does not write that down. */
  readonly idleTtlMs: number | undefined
  readonly runtime: Pick<Runtime, 'now'>
}

/** What can be said of a source before it is opened. */
export interface SourceKind {
  /** What it is, for the help. */
  readonly summary: string
  /** What `at` has to be. */
  readonly at: 'redis' | 'postgres' | 'couchdb' | 'memcached' | 'folder' | 'file'
  /** Whose session it is, where that follows from the form of the data. */
  readonly identify?: (data: unknown) => string | undefined
  open(options: SourceOptions): Promise<Source>
}
