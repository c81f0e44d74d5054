import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { postgres } from '../src/backends/postgres/index.js'
import { memcached } from '../src/caches/memcached/index.js'
import { createSessionStore } from '../src/create-session-store.js'
import { drainOnSignal } from '../src/shutdown/drain-on-signal.js'
import { drainWorkersOnSignal } from '../src/shutdown/drain-workers-on-signal.js'
import { couchdb } from './backends/couchdb/backend.js'
import { quietRuntime } from './support/calendar.js'

/** The names of a file's options that are durations, as its types have them. */
const durationsIn = (file: string): readonly string[] => {
  const text = readFileSync(fileURLToPath(new URL(`../src/${file}`, import.meta.url)), 'utf8')
  return [
    ...new Set(
      [...text.matchAll(/^ {2}readonly (\w+Ms)\??: number(?: \| undefined)?$/gm)].map(([, name]) => name ?? ''),
    ),
  ]
}

const sessions = { close: async () => ({ flushed: 0, left: 0, destroysLeft: 0 }) }
const parts: [string, string, (options: object) => unknown][] = [
  ['the store', 'store/options.ts', (options) => createSessionStore({ allowEmbedded: true, ...options })],
  ['memcached', 'caches/memcached/options.ts', (options) => memcached({ servers: 'localhost', ...options })],
  ['postgres', 'backends/postgres/options.ts', (options) => postgres(options)],
  ['a pool of its own', 'backends/postgres/own-pool.ts', (options) => postgres(options)],
  [
    'couchdb',
    'backends/couchdb/options.ts',
    (options) =>
      couchdb({ url: 'http://localhost:5984', absoluteTtlMs: 86_400_000, runtime: quietRuntime, ...options }),
  ],
  ['drainOnSignal', 'shutdown/drain-on-signal.ts', (options) => drainOnSignal({ sessions, ...options })],
  [
    'drainWorkersOnSignal',
    'shutdown/drain-workers-on-signal.ts',
    (options) => drainWorkersOnSignal({ cluster: {}, ...options }),
  ],
]
/** What the store works out of its options, and nobody gives it. */
const WORKED_OUT = new Set(['thawMs', 'tookMs'])

describe('every option that is a duration is bounded', () => {
  for (const [part, file, make] of parts) {
    const names = durationsIn(file).filter((name) => !WORKED_OUT.has(name))

    test(`of ${part} there are some`, () => {
      expect(names.length).toBeGreaterThan(0)
    })

    for (const name of names)
      for (const value of [Number.POSITIVE_INFINITY, Number.NaN, -1, 2 ** 53])
        test(`${name} of ${part} is not ${value}`, () => {
          let complaint: unknown
          try {
            make({ [name]: value })
          } catch (error) {
            complaint = error
          }
          expect(complaint).toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining(`\`${name}\``) })
        })
  }
})
