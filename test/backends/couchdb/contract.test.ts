import { test } from 'vitest'
import { couchdb } from '../../../src/backends/couchdb/index.js'
import { systemRuntime } from '../../../src/runtime.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()

/** Time passes as ever, but in November 2026: the rules know sessions that were born there. */
const startedAt = performance.now()
const now = (): number => Date.UTC(2026, 10, 21) + Math.floor(performance.now() - startedAt)

let database: string | undefined

backendContract(test, {
  name: 'couchdb',
  open: async () => {
    database ??= couch().pattern()
    return { backend: couchdb(couch().options({ database, runtime: { ...systemRuntime, now } })) }
  },
  now,
})
