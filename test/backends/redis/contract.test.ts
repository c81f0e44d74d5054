import { test } from 'vitest'
import { redis } from '../../../src/backends/redis/index.js'
import { sealedBackend } from '../../../src/store/tiers/sealed-backend.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { everythingSealed, sealingWith } from '../../support/sealing.js'
import { skipUnless } from '../../support/skip.js'
import { freshPrefix, optionsFor, redisForThisFile, redisHere } from './server.js'

skipUnless('redis on one server', redisHere(), () => {
  const server = redisForThisFile()
  const [plain, sealed] = [freshPrefix(), freshPrefix()]

  backendContract(test, { name: 'redis', open: async () => ({ backend: redis(optionsFor(server(), plain)) }) })

  backendContract(test, {
    name: 'redis, sealed',
    open: async () => ({ backend: sealedBackend(redis(optionsFor(server(), sealed)), sealingWith(everythingSealed)) }),
  })
})
