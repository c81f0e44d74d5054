import type { SessionStore } from '../../src/contract/session-store.js'

/*
 * One suite for every framework: `behaviours.ts` says what has to hold, each file of `apps/` how a small application is
 * written in one framework, and `suite.test.ts` tries all with all, over HTTP, on real servers.
 */

/** What a request can do to its session, in the words of the suite. An app says what it is in its framework. */
export interface RequestSession {
  /** The data as the application sees it, without what the framework keeps beside it. Empty where there is no session. */
  data(): Readonly<Record<string, unknown>>
  set(key: string, value: unknown): void
  delete(key: string): void
  /** Gives the session a new id, for a login. What is kept of the old data is the framework's business. */
  regenerate(): Promise<void>
  /** Logs out. */
  destroy(): Promise<void>
}

/** Answers `POST /<its name>` and a JSON body by JSON. What it throws, the app answers with the status 500. */
export type Route = (session: RequestSession, body: Readonly<Record<string, unknown>>) => unknown

export type Routes = Readonly<Record<string, Route>>

export interface AppOptions {
  /** Made by the suite, which closes it. */
  // biome-ignore lint/suspicious/noExplicitAny: each framework says for itself what it stores.
  readonly sessions: SessionStore<any>
  /** To sign the cookie with, the newest first. At least 32 characters each. */
  readonly secrets: readonly [string, ...string[]]
  /** How long cookie and session live untouched, in ms. Absent: the cookie ends with the browser. */
  readonly maxAgeMs?: number
  /** Whether each answer sets the cookie anew. */
  readonly rolling?: boolean
}

export interface App {
  /** `http://127.0.0.1:port` */
  readonly url: string
  close(): Promise<void>
}

/** What a request asks of the two tiers. */
export interface Cost {
  readonly cache: number
  readonly backend: number
}

export const BEHAVIOURS = {
  login: 'a login is seen by every process',
  modify: 'what one process changes the next one reads',
  'parallel-changes': 'requests that run at once and change different keys both have their way',
  'logout-races-slow-request': 'a slow request does not bring back a session that was logged out meanwhile',
  expiry: 'a session ends when it was not used for its time',
  'rolling-expiry': 'a session that is used does not end',
  regeneration: 'an id from before the login is not logged in',
  'wrong-cookie': 'a cookie that is none of ours is a visitor without a session',
  'forged-cookie': 'a cookie that somebody has changed is a visitor without a session',
  'dead-cache': 'without the cache everybody stays logged in, and changes are kept',
  'dead-backend': 'without the backend who is in the cache is served, and nobody is taken for logged out',
  unicode: 'text of every script comes back as it was',
  binary: 'bytes come back as they were',
  'large-session': 'a session of 64 KB is kept',
  'log-out-everywhere': 'a user is logged out on all of his devices by one call',
  cost: 'a request asks as little of the tiers as it says',
} as const

export type BehaviourName = keyof typeof BEHAVIOURS

export interface Framework {
  /** `express 5` */
  readonly name: string
  /** `nonstick/express` */
  readonly subpath: string
  /** The packages that it is tried with; the table of the frameworks names their versions. */
  readonly packages: readonly string[]
  /**
   * What the framework makes impossible: a sentence for the table, which says what happens instead. The suite sees that the
   * behaviour fails; where it does not any more, the limit is to be taken out.
   */
  readonly limits: Partial<Record<BehaviourName, string>>
  /** What a request costs that reads, and one that changes the session. */
  readonly costs: { readonly reading: Cost; readonly changing: Cost }
  /** Whose a session is, where its data is not at the top: as for the store's option. @default `data.user` */
  identify?(data: unknown): string | undefined
  start(routes: Routes, options: AppOptions): Promise<App>
}
