import { test } from 'vitest'
import { memoryBackend } from '../../../src/backends/memory/index.js'
import { sealedBackend } from '../../../src/store/tiers/sealed-backend.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { everythingSealed, keyNamed, sealingWith } from '../../support/sealing.js'

backendContract(test, { name: 'memory', open: async () => ({ backend: memoryBackend() }) })

backendContract(test, {
  name: 'memory, sealed',
  open: async () => ({ backend: sealedBackend(memoryBackend(), sealingWith({ keys: [keyNamed('current')] })) }),
})

backendContract(test, {
  name: 'memory, sealed, with users hashed',
  open: async () => ({ backend: sealedBackend(memoryBackend(), sealingWith(everythingSealed)) }),
})
