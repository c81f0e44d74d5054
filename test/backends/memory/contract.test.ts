import { test } from 'vitest'
import { memoryBackend } from '../../../src/backends/memory/index.js'
import { backendContract } from '../../../src/testing/backend-contract.js'

backendContract(test, { name: 'memory', open: async () => ({ backend: memoryBackend() }) })
