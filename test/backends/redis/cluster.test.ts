import { createCluster } from 'redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisCluster, startRedisCluster } from '../../../scripts/servers/index.js'
import { redis } from '../../../src/backends/redis/index.js'
import { Keys, placeOfKey } from '../../../src/backends/redis/keys.js'
import type { Locator } from '../../../src/contract/locator.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { quietRuntime } from '../../support/calendar.js'
import { skipUnless } from '../../support/skip.js'
import { freshPrefix, PATIENCE, redisHere } from './server.js'

skipUnless('redis in a cluster of three masters and three replicas', redisHere(), () => {
  let cluster: RedisCluster

  beforeAll(async () => {
    cluster = await startRedisCluster()
  }, 120_000)
  afterAll(async () => {
    await cluster?.stop()
  })

  const prefix = freshPrefix()
  backendContract(test, {
    name: 'redis cluster',
    open: async () => ({ backend: redis({ url: cluster.url, prefix, ...PATIENCE }) }),
  })

  test('a cluster of the program’s own is used as it is, and no replica is read though it reads replicas', async () => {
    const client = createCluster({
      rootNodes: cluster.nodes.map(({ url }) => ({ url })),
      useReplicas: true,
    })
    await client.connect()
    const backend = redis({ client, prefix: freshPrefix(), queryTimeoutMs: 60_000 })
    for (let round = 0; round < 100; round += 1) {
      const locator = sampleLocator()
      await backend.insert(locator, storedSession())
      expect((await backend.read(locator)).state).toBe('live')
    }
    await backend.close()
    client.destroy()
  })

  test('setting up and health look at all masters', async () => {
    const said: string[] = []
    const backend = redis({ url: cluster.url, prefix, ...PATIENCE, log: (line) => said.push(line) })
    await backend.setUp()
    expect(said.filter((line) => line.includes('node 3 of 3')).length).toBeGreaterThan(0)
    expect((await backend.health()).state).toBe('up')
    await backend.close()
  })

  test('a node of a cluster that is given as a server says what to do', async () => {
    const [node] = cluster.nodes
    const backend = redis({ url: node?.url ?? '', prefix, ...PATIENCE })
    await expect(backend.setUp()).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA' })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('redis+cluster') })
    await backend.close()
  })

  describe('while slots are moved', () => {
    const movedPrefix = freshPrefix()
    const slotOf = async (locator: Locator): Promise<number> =>
      Number(await cluster.nodes[0]?.ask('CLUSTER', 'KEYSLOT', new Keys(movedPrefix).session(placeOfKey(locator.key))))

    test('every session can be read at each moment, and changes wait until the keys are together again', async () => {
      const backend = redis({ url: cluster.url, prefix: movedPrefix, ...PATIENCE })
      const [locator, session] = [sampleLocator(), storedSession({ userId: 'somebody' })]
      await backend.insert(locator, session)
      const slot = await slotOf(locator)
      const from = await cluster.ownerOf(slot)
      const to = (await cluster.masters()).find(({ node }) => node !== from)?.node
      if (to === undefined) throw new Error('There are other masters')

      await cluster.beginMove(slot, from, to)
      expect((await backend.read(locator)).state, 'nothing is moved yet').toBe('live')
      await cluster.moveKeys(slot, from, to, 2)
      expect((await backend.read(locator)).state, 'some keys are here, some there').toBe('live')
      const update = {
        locator,
        session: { ...session, version: 2 },
        token: new Uint8Array(0),
        guard: { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 },
      }
      let isDone = false
      const updating = backend.update([update]).finally(() => {
        isDone = true
      })
      await new Promise((resolve) => quietRuntime.after(200, () => resolve(undefined)))
      expect(isDone, 'the keys are in two places').toBe(false)
      while ((await cluster.moveKeys(slot, from, to, 100)) > 0);
      expect((await backend.read(locator)).state, 'all are there, and the slot is still said to be here').toBe('live')
      await cluster.endMove(slot, from, to)
      expect((await updating)[0]?.outcome).toBe('applied')
      // The client still believes the old node to have it, and is told otherwise.
      expect(await backend.read(locator)).toMatchObject({ state: 'live', session: { version: 2 } })
      expect(await backend.destroy(locator, { writeId: sampleWriteId(), at: 1, keepUntil: session.expiresAt })).toBe(
        'destroyed',
      )
      await backend.close()
    })

    test('a change that finds its keys in two places until its time is over says that nothing was done', async () => {
      const patient = redis({ url: cluster.url, prefix: movedPrefix, ...PATIENCE })
      const backend = redis({ url: cluster.url, prefix: movedPrefix, queryTimeoutMs: 3_000 })
      const [locator, session] = [sampleLocator(), storedSession()]
      await patient.insert(locator, session)
      // The first call waits for the connections too, which a busy machine may need longer for.
      await expect
        .poll(
          () =>
            backend.read(locator).then(
              ({ state }) => state,
              () => 'away',
            ),
          { timeout: 60_000 },
        )
        .toBe('live')
      const slot = await slotOf(locator)
      const from = await cluster.ownerOf(slot)
      const to = (await cluster.masters()).find(({ node }) => node !== from)?.node
      if (to === undefined) throw new Error('There are other masters')
      await cluster.beginMove(slot, from, to)
      await cluster.moveKeys(slot, from, to, 1)
      await expect(
        backend.destroy(locator, { writeId: sampleWriteId(), at: 1, keepUntil: session.expiresAt }),
      ).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no' })
      while ((await cluster.moveKeys(slot, from, to, 100)) > 0);
      await cluster.endMove(slot, from, to)
      expect((await patient.read(locator)).state).toBe('live')
      await Promise.all([patient.close(), backend.close()])
    })
  })
})
