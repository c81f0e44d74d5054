import { test } from 'vitest'
import { couchdb } from '../../../src/backends/couchdb/index.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()

let database: string | undefined

backendContract(test, {
  name: 'couchdb',
  open: async () => {
    database ??= couch().pattern()
    // Each call settles within its time, which is enough for five hundred documents on a busy machine.
    return { backend: couchdb(couch().options({ database, requestTimeoutMs: 60_000 })) }
  },
})
