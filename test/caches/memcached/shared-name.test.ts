import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type Connect, connect } from '../../../src/caches/memcached/connecting.js'
import type { Connection } from '../../../src/caches/memcached/connection.js'
import { memcached } from '../../../src/caches/memcached/index.js'
import { resolveOptions } from '../../../src/caches/memcached/options.js'
import { NameWatch, type Resolve, serversBehind } from '../../../src/caches/memcached/shared-name.js'
import { createSessionStore } from '../../../src/index.js'
import { memoryBackend } from '../../../src/memory.js'
import { movableRuntime } from '../../../src/testing/movable-runtime.js'
import { scriptedMemcached } from '../../../src/testing/scripted-memcached.js'
import { type MemcachedServer, ownMemcached, skipUnless } from '../../support/servers.js'
import { balancer } from '../support/balancer.js'
import { type MovedClock, movedClock } from '../support/moved-clock.js'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

test.each([
  ['one server', [1n, 1n, 1n], [1n, 1n, 1n], 1],
  ['two servers', [1n, 2n, 1n], [1n, 2n, 1n], 2],
  ['three servers', [1n, 2n, 3n], [1n, 2n, 3n], 3],
  ['one server that was flushed between the rounds', [1n, 1n, 1n], [2n, 2n, 2n], 0],
  ['one server that was flushed in the first round', [1n, 2n, 2n], [2n, 2n, 2n], 1],
  ['one server that was flushed in the second round', [1n, 1n, 1n], [1n, 2n, 2n], 1],
  ['one server that was flushed in both rounds', [1n, 2n, 2n], [2n, 3n, 3n], 0],
  ['two servers of which one was flushed in between', [1n, 2n, 2n], [3n, 2n, 2n], 1],
  ['a server that is out of memory', [undefined, undefined], [undefined, undefined], 0],
  ['a server that gave a badge once', [1n, undefined], [undefined, 1n], 0],
  ['no connection', [], [], 0],
] as const)('of %s the badges tell as much', (_, first, second, servers) => {
  expect(serversBehind(first, second)).toBe(servers)
})

/** A watch whose clock stands still, and what it finds. */
const watchOn = (
  servers: string,
  {
    connectTo = connect,
    resolve,
    ...more
  }: { connectTo?: Connect; resolve?: Resolve; checkSharedNames?: boolean } = {},
) => {
  const clock = movedClock()
  const options = resolveOptions({ servers, runtime: clock, ...more })
  const [server] = options.servers
  if (server === undefined) throw new Error('no server')
  const found: number[] = []
  const open: Connection[] = []
  const counting: Connect = async (...parameters) => {
    const connection = await connectTo(...parameters)
    open.push(connection)
    return connection
  }
  const watch = new NameWatch(server, options, counting, (count) => found.push(count), resolve)
  closers.push(() => watch.close())
  return { watch, clock, found, open }
}

/** Lets it look, and waits until it has: its connections have ended then. */
const look = async ({ watch, clock, open }: ReturnType<typeof watchOn>, connections: number): Promise<void> => {
  const before = open.length
  watch.lookSoon()
  clock.advance(60_000)
  await expect.poll(() => open.length - before, { timeout: 10_000 }).toBe(connections)
  await expect.poll(() => open.every(({ ended }) => ended !== undefined), { timeout: 10_000 }).toBe(true)
}

/** Says a line of text to a server, and waits for its answer. */
const tell = async (port: number, line: string): Promise<void> => {
  const socket = connectTcp(port, '127.0.0.1')
  socket.write(`${line}\r\n`)
  await once(socket, 'data')
  socket.destroy()
}

skipUnless('several real Memcached behind one name', await ownMemcached(), (start) => {
  const started = async (): Promise<MemcachedServer> => {
    const server = await start()
    closers.push(() => server.stop())
    return server
  }
  const balanced = async (count: number) => {
    const servers = await Promise.all(Array.from({ length: count }, started))
    const name = await balancer(servers.map(({ port }) => port))
    closers.push(() => name.close())
    return { servers, name }
  }

  test('are told of by an event, in stats and in health, and no call waits for that', async () => {
    const { name } = await balanced(2)
    const runtime = movableRuntime()
    const cache = memcached({ servers: name.address, runtime, operationTimeoutMs: 10_000, connectTimeoutMs: 10_000 })
    const store = createSessionStore({ cache, backend: memoryBackend() })
    closers.push(() => store.close())
    const told: unknown[] = []
    store.on('sharedName', (event) => told.push(event))
    const { id } = await store.create({ n: 0 })
    expect(await store.load(id)).toBeDefined()
    expect(name.given).toEqual([1, 0])
    expect((await store.health()).state).toBe('up')
    runtime.advance(1_000)
    await expect
      .poll(() => told, { timeout: 10_000 })
      .toEqual([{ tier: 'memcached', server: name.address, servers: 2 }])
    expect(store.stats().sharedNames).toBe(1)
    expect(await store.health()).toMatchObject({
      state: 'degraded',
      cache: {
        state: 'degraded',
        reason: expect.stringContaining('at least 2 servers answer to this name'),
        servers: [{ tier: `memcached ${name.address}`, state: 'degraded' }],
      },
    })
    expect(await store.load(id)).toBeDefined()
  })

  test('are found again and again, and no longer once only one is left', async () => {
    const { servers, name } = await balanced(2)
    const scene = watchOn(name.address)
    await look(scene, 3)
    await look(scene, 3)
    expect([scene.found, scene.watch.servers]).toEqual([[2, 2], 2])
    await servers[1]?.kill9()
    scene.watch.lookSoon()
    scene.clock.advance(60_000)
    await expect.poll(() => scene.watch.servers, { timeout: 10_000 }).toBe(1)
    expect(scene.found).toEqual([2, 2])
  })

  test('are found by the addresses of the name, each of which is asked once', async () => {
    const servers = await Promise.all([started(), started(), started()])
    const hosts = servers.map((_, index) => `10.0.0.${index + 1}`)
    const names: unknown[] = []
    const connectTo: Connect = (server, ...rest) => {
      const host = 'host' in server.target ? server.target.host : ''
      names.push('name' in server.target ? server.target.name : undefined)
      return connect(
        { ...server, target: { host: '127.0.0.1', port: servers[hosts.indexOf(host)]?.port ?? 0 } },
        ...rest,
      )
    }
    const scene = watchOn('cache.example:11211', { connectTo, resolve: async () => hosts })
    await look(scene, 3)
    expect([scene.found, scene.watch.servers]).toEqual([[3], 3])
    // A certificate is for the name, and not for the address behind it.
    expect(new Set(names)).toEqual(new Set(['cache.example']))
  })

  test('are not suspected where one server is restarted, flushed, or lost its badge between two looks', async () => {
    const { servers, name } = await balanced(1)
    const [server] = servers
    const scene = watchOn(name.address)
    const lose = [
      () => tell(server?.port ?? 0, 'flush_all'),
      () => tell(server?.port ?? 0, 'delete nonstick:badge'),
      () => server?.restart(),
    ]
    for (const loss of lose) {
      await look(scene, 3)
      await loss()
    }
    await look(scene, 3)
    expect([scene.found, scene.watch.servers]).toEqual([[], 1])
  })

  test.each([1, 2, 3, 4, 5])('are not suspected where one server is flushed at step %i of a look', async (step) => {
    const server = await started()
    let asked = 0
    const connectTo: Connect = async (...parameters) => {
      const connection = await connect(...parameters)
      const { request } = connection
      connection.request = async (...question) => {
        asked += 1
        if (asked === step) await tell(server.port, 'flush_all')
        return await request.apply(connection, question)
      }
      return connection
    }
    const scene = watchOn(server.address, { connectTo })
    await look(scene, 3)
    expect(asked).toBe(6)
    expect(scene.found).toEqual([])
  })

  test('leave in each server a badge that never expires, and nothing else', async () => {
    const server = await started()
    await look(watchOn(server.address), 3)
    const socket = connectTcp(server.port, '127.0.0.1')
    socket.write('mg nonstick:badge t v\r\nstats items\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    expect(answer.toString()).toMatch(/^VA \d+ t-1\r\n\d+ *\r\n/)
  })
})

describe('a look behind a name', () => {
  const scripted = async () => {
    const server = await scriptedMemcached()
    closers.push(() => server.close())
    return server
  }
  const aMoment = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setTimeout(resolve, 1))
  }

  test('is made a second after a connection was made, and at most once a minute', async () => {
    const server = await scripted()
    const scene = watchOn(server.address)
    const { watch, clock, open } = scene
    watch.lookSoon()
    watch.lookSoon()
    clock.advance(999)
    await aMoment()
    expect(server.connections.made).toBe(0)
    clock.advance(1)
    await expect.poll(() => open.length).toBe(3)
    await expect.poll(() => watch.servers).toBe(1)
    watch.lookSoon()
    clock.advance(59_999)
    await aMoment()
    expect(server.connections.made).toBe(3)
    clock.advance(1)
    await expect.poll(() => server.connections.made).toBe(6)
    await expect.poll(() => server.connections.open).toBe(0)
  })

  test('is not made of a unix socket, nor where it is not wanted, nor after close', async () => {
    const server = await scripted()
    const scenes = [
      watchOn('/run/nobody.sock'),
      watchOn(server.address, { checkSharedNames: false }),
      watchOn(server.address),
    ]
    scenes[2]?.watch.lookSoon()
    scenes[2]?.watch.close()
    for (const { watch, clock } of scenes) {
      watch.lookSoon()
      clock.advance(120_000)
    }
    await aMoment()
    expect([server.connections.made, ...scenes.map(({ open }) => open.length)]).toEqual([0, 0, 0, 0])
  })

  test.each(['hang', 'reset', 'status'] as const)('fails nobody where it is answered by a %s', async (kind) => {
    const server = await scripted()
    const clock: MovedClock = movedClock()
    const cache = memcached({ servers: server.address, runtime: clock })
    closers.push(() => cache.close())
    server.faults.add({ kind, status: 0x82 }, { on: 'increment' })
    await cache.get('k')
    clock.advance(1_000)
    await server.arrival('increment', 3)
    const reading = cache.get('k')
    expect(await reading).toBeUndefined()
    clock.advance(500)
    await expect.poll(() => server.connections.open).toBe(1)
    expect(await cache.health()).toMatchObject({ state: 'up' })
    expect(server.connections.made).toBe(4)
  })

  test('ends with the cache, also where it is answered by nothing', async () => {
    const server = await scripted()
    const clock = movedClock()
    const cache = memcached({ servers: server.address, runtime: clock })
    await cache.get('k')
    server.faults.add({ kind: 'hang' }, { on: 'noop' })
    clock.advance(1_000)
    await server.arrival('noop', 4)
    await cache.close()
    await expect.poll(() => server.connections.open).toBe(0)
  })

  test('of a name that cannot be resolved finds nothing', async () => {
    const scene = watchOn('cache.example', { resolve: () => Promise.reject(new Error('ENOTFOUND')) })
    scene.watch.lookSoon()
    scene.clock.advance(1_000)
    await aMoment()
    expect([scene.open, scene.watch.servers]).toEqual([[], 0])
  })
})
