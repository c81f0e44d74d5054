import { test } from 'vitest'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { quietRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()

let database: string | undefined

backendContract(test, {
  name: 'couchdb',
  now: quietRuntime.now,
  open: async () => {
    database ??= couch().pattern()
    // Each call settles within its time, which is enough for five hundred documents on a busy machine.
    return { backend: couchdb(couch().options({ database, requestTimeoutMs: 60_000 })) }
  },
})
