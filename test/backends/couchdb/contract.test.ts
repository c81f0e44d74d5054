import { test } from 'vitest'
import { sealedBackend } from '../../../src/store/tiers/sealed-backend.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { quietRuntime } from '../../support/calendar.js'
import { everythingSealed, sealingWith } from '../../support/sealing.js'
import { couchdb } from './backend.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()

const databases = new Map<string, string>()

/** A backend on the databases that its suite has for itself. */
const open = (suite: string): ReturnType<typeof couchdb> => {
  const database = databases.get(suite) ?? couch().pattern()
  databases.set(suite, database)
  // Each call settles within its time, which is enough for five hundred documents on a busy machine.
  return couchdb(couch().options({ database, requestTimeoutMs: 60_000 }))
}

backendContract(test, { name: 'couchdb', now: quietRuntime.now, open: async () => ({ backend: open('as it is') }) })

backendContract(test, {
  name: 'couchdb, sealed',
  now: quietRuntime.now,
  open: async () => ({ backend: sealedBackend(open('sealed'), sealingWith(everythingSealed)) }),
})
