import { afterAll, afterEach, beforeAll } from 'vitest'
import type { Runtime } from '../../../src/contract/time.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'
import { QUIET_DAY } from '../../support/calendar.js'
import { couchdb, type DatedOptions } from './backend.js'
import { type Counting, countingFor } from './counting.js'
import { type Script, type Scripted, type ScriptedOptions, scripted } from './scripted.js'

/** A session of our own, born on the quiet day. */
export const bornThen = () => sampleLocator({ bornMonth: monthOf(QUIET_DAY) })

/** A list of what a test leaves open: all in it is closed after each test of this file, the last first. */
export const closedAfterEach = (): (() => Promise<unknown>)[] => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  return closing
}

export interface Scene {
  /** See `closedAfterEach`. */
  readonly closing: (() => Promise<unknown>)[]
  /** A scripted server. */
  serverThat(script: Script, options?: ScriptedOptions): Promise<Scripted>
  /** A backend that asks the servers at these URLs. */
  backendOf(url: string | readonly string[], more?: Partial<DatedOptions>): ReturnType<typeof couchdb>
}

/** Scripted servers, and backends that go by `runtime`; all of them are closed after each test of this file. */
export const sceneForThisFile = ({
  requestTimeoutMs,
  runtime,
}: {
  readonly requestTimeoutMs: number
  readonly runtime: Runtime
}): Scene => {
  const closing = closedAfterEach()
  return {
    closing,
    serverThat: async (script, options) => {
      const server = await scripted(script, options)
      closing.push(() => server.close())
      return server
    },
    backendOf: (url, more = {}) => {
      const backend = couchdb({ url, absoluteTtlMs: 30 * 86_400_000, requestTimeoutMs, runtime, ...more })
      closing.push(() => backend.close())
      return backend
    },
  }
}

/** What passes to a CouchDB, counted while the tests of this file run. */
export const wireForThisFile = (couch: () => { readonly url: string }): (() => Counting) => {
  let wire: Counting | undefined
  beforeAll(async () => {
    wire = await countingFor(couch().url)
  })
  afterAll(() => wire?.close())
  return () => {
    if (wire === undefined) throw new Error('Expected the wire to be asked for within a test, got a call before')
    return wire
  }
}
