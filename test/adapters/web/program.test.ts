import { afterAll, beforeAll, test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { type Program, startProgram, WITHOUT_OURS } from '../../shutdown/programs.js'
import { visitProgram } from '../../support/program-visits.js'
import { type FreshSchema, freshSchema, sharedMemcached, sharedPostgres, skipUnless } from '../../support/servers.js'

const [database, cache] = [await sharedPostgres(), await sharedMemcached()]

skipUnless('the program of the page on nonstick/web', database, (adminUrl) => {
  skipUnless('with a Memcached', cache, ({ address, namespace }) => {
    const running: Program[] = []
    let place: FreshSchema

    beforeAll(async () => {
      place = await freshSchema(adminUrl)
      const backend = postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true })
      await backend.setUp()
      await backend.close()
    })
    afterAll(async () => {
      await Promise.all(running.map((program) => program.stop()))
      await place.drop()
    })

    const start = async (): Promise<string> => {
      const program = startProgram('docs/examples/web-node.ts', {
        ...WITHOUT_OURS,
        ...{
          NODE_ENV: 'production',
          HOST: '127.0.0.1',
          PORT: '0',
          SESSION_KEYS: 'a key of a test which is of no use',
        },
        ...{ NONSTICK_CACHE: address, NONSTICK_BACKEND: place.connectionString, NONSTICK_SCHEMA: place.schema },
        NONSTICK_NAMESPACE: namespace,
      })
      running.push(program)
      const [[, url = ''] = []] = await program.prints(/listening on (\S+)/)
      return url
    }

    test('logs in, counts visits and logs out in two processes of a cluster', async () => {
      await visitProgram([await start(), await start()])
    })
  })
})
