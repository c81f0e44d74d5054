import { test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { sealedBackend } from '../../../src/store/tiers/sealed-backend.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { everythingSealed, sealingWith } from '../../support/sealing.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

/** The rules are about what is done, and not about how fast. */
const PATIENCE = { queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 }

const open = (): ReturnType<typeof postgres> => {
  const { url, schema, table } = cluster()
  return postgres({ connectionString: url, schema, table, ...PATIENCE })
}
const subject = { now: () => cluster().now(), purgeResolutionMs: 3_600_000 }

backendContract(test, { ...subject, name: 'postgres', open: async () => ({ backend: open() }) })

backendContract(test, {
  ...subject,
  name: 'postgres, sealed',
  open: async () => ({ backend: sealedBackend(open(), sealingWith(everythingSealed)) }),
})
