import { test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

/** The rules are about what is done, and not about how fast. */
const PATIENCE = { queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 }

backendContract(test, {
  name: 'postgres',
  open: async () => {
    const { url, schema, table } = cluster()
    return { backend: postgres({ connectionString: url, schema, table, ...PATIENCE }) }
  },
  now: () => cluster().now(),
  purgeResolutionMs: 3_600_000,
})
