import { test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

backendContract(test, {
  name: 'postgres',
  open: async () => {
    const { url, schema, table } = cluster()
    return { backend: postgres({ connectionString: url, schema, table, queryTimeoutMs: 30_000 }) }
  },
  now: () => cluster().now(),
  purgeResolutionMs: 3_600_000,
})
