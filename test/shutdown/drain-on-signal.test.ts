import { once } from 'node:events'
import { createServer, get, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import {
  createSessionStore,
  type DrainOnSignalOptions,
  drainOnSignal,
  drainWorkersOnSignal,
  type ShutdownReport,
} from '../../src/index.js'

/** Nobody but these tests sends it. */
const SIGNAL = 'SIGUSR2'
const signal = (): void => void process.emit(SIGNAL, SIGNAL)

let ending: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ending) await end()
  ending = []
  expect(process.listenerCount(SIGNAL)).toBe(0)
})

/** What a shutdown ends with: the exit codes in order, and the report. */
const shutdown = (options: Partial<DrainOnSignalOptions> = {}) => {
  const codes: number[] = []
  let told: ShutdownReport | undefined
  let onExit = (): void => {}
  const exited = new Promise<void>((resolve) => {
    onExit = resolve
  })
  const stop = drainOnSignal({
    sessions: createSessionStore({ cache: memoryCache(), backend: memoryBackend() }),
    signals: [SIGNAL],
    deadlineMs: 600,
    onReport: (report) => {
      told = report
    },
    ...options,
    exit: (code) => {
      codes.push(code)
      onExit()
    },
  })
  ending.push(stop)
  return { codes, exited, stop, report: () => told }
}

const listening = async <T extends { listen(port: number, host: string): unknown; address(): unknown }>(
  server: T,
): Promise<number> => {
  server.listen(0, '127.0.0.1')
  await once(server as unknown as Server, 'listening')
  return (server.address() as AddressInfo).port
}

const nothing = { flushed: 0, left: 0, destroysLeft: 0 }

describe('at a signal', () => {
  test('a connection that was opened and never used holds nothing up, and is closed', async () => {
    const server = createServer((_request, response) => response.end())
    const idle = connect(await listening(server), '127.0.0.1')
    await once(idle, 'connect')
    const { exited, codes, report } = shutdown({ server, deadlineMs: 20_000 })
    signal()
    const closed = once(idle, 'close')
    await exited
    await closed
    expect(codes).toEqual([0])
    // Far from the fifteen seconds that requests could have had.
    expect(report()?.tookMs).toBeLessThan(5_000)
  })

  test('a request in flight is answered, as the last of its connection', async () => {
    const server = createServer()
    const { exited, report } = shutdown({ server, deadlineMs: 20_000 })
    const socket = connect(await listening(server), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const [, response] = await once(server, 'request')
    signal()
    response.end('answered')
    await once(socket, 'close')
    await exited
    expect(text).toMatch(/^HTTP\/1\.1 200.*connection: close.*answered/is)
    expect(report()).toMatchObject({ requestsLeft: 0, exitCode: 0 })
  })

  test('a connection is closed when its answer has ended, also if that had begun before, while others are waited for', async () => {
    const server = createServer((request, response) => {
      if (request.url === '/slow') return
      response.write('begun ')
    })
    server.keepAliveTimeout = 60_000
    const { exited, codes } = shutdown({ server, deadlineMs: 20_000 })
    const port = await listening(server)
    const requests: Record<string, ServerResponse> = {}
    server.on('request', ({ url = '' }, response) => {
      requests[url] = response
    })
    const [slow, begun] = ['/slow', '/begun'].map((path) => {
      const socket = connect(port, '127.0.0.1')
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
      return socket
    })
    if (slow === undefined || begun === undefined) throw new Error('there are two')
    await once(begun, 'data')
    await expect.poll(() => Object.keys(requests).length).toBe(2)
    signal()
    requests['/begun']?.end()
    begun.resume()
    await once(begun, 'close')
    expect([slow.closed, codes]).toEqual([false, []])
    requests['/slow']?.end()
    slow.resume()
    await exited
    expect(codes).toEqual([0])
  })

  test('several servers and several stores are all seen to', async () => {
    const servers = [createServer(), createTcpServer()]
    for (const server of servers) await listening(server)
    const stores = [1, 2].map(() => createSessionStore({ cache: memoryCache(), backend: memoryBackend() }))
    for (const store of stores) {
      const session = await store.create({ n: 1 })
      session.data['n'] = 2
      await store.save(session)
    }
    const { exited, codes, report } = shutdown({ server: servers, sessions: stores })
    signal()
    await exited
    expect(codes).toEqual([0])
    expect(report()).toMatchObject({ cause: SIGNAL, sessions: { flushed: 2, left: 0, destroysLeft: 0 } })
    expect(servers.map(({ listening }) => listening)).toEqual([false, false])
  })

  test('without a server the sessions are closed at once', async () => {
    const { exited, report } = shutdown()
    signal()
    await exited
    expect(report()).toEqual({
      cause: SIGNAL,
      requestsLeft: 0,
      sessions: nothing,
      tookMs: expect.any(Number),
      exitCode: 0,
    })
  })

  test.each<[string, Partial<DrainOnSignalOptions>]>([
    ['a store that left something', { sessions: { close: async () => ({ ...nothing, left: 1 }) } }],
    ['a destroy that was left', { sessions: { close: async () => ({ ...nothing, destroysLeft: 1 }) } }],
    ['a store that never closes', { sessions: { close: () => new Promise(() => {}) } }],
    ['a store that cannot be closed', { sessions: { close: () => Promise.reject(new Error('no')) } }],
    [
      'a store that throws',
      {
        sessions: {
          close: () => {
            throw new Error('no')
          },
        },
      },
    ],
    ['an adapter that leaves its store open', { sessions: { close: async () => undefined } }],
    [
      'a report that could not be told',
      {
        onReport: () => {
          throw new Error('the log is full')
        },
      },
    ],
    ['a report that takes too long to tell', { onReport: () => new Promise(() => {}) }],
  ])('%s ends with 1, in time', async (_what, options) => {
    const { exited, codes } = shutdown(options)
    signal()
    await exited
    expect(codes).toEqual([1])
  })

  test('a second one ends it at once with 1', async () => {
    const { codes } = shutdown({ sessions: { close: () => new Promise(() => {}) }, deadlineMs: 1_000 })
    signal()
    expect(codes).toEqual([])
    signal()
    expect(codes).toEqual([1])
    await new Promise((resolve) => setTimeout(resolve, 1_300))
  })

  test('nothing happens once it was told to stop listening', async () => {
    const { stop, codes } = shutdown()
    stop()
    expect(process.listenerCount(SIGNAL)).toBe(0)
    expect(codes).toEqual([])
  })
})

test('before a signal, requests are served as ever', async () => {
  const server = createServer((_request, response) => response.end('hello'))
  const port = await listening(server)
  shutdown({ server })
  const [response] = await once(get({ port, host: '127.0.0.1', path: '/' }), 'response')
  expect(response.headers.connection).not.toBe('close')
  response.resume()
  await once(response, 'end')
  server.closeAllConnections()
  server.close()
})

test.each<[object, RegExp]>([
  [{ sessions: undefined }, /`sessions`/],
  [{ sessions: [] }, /`sessions`/],
  [{ deadlineMs: 0 }, /`deadlineMs`/],
  [{ deadlineMs: 2 ** 31 }, /`deadlineMs`/],
  [{ signals: 'SIGTERM' }, /`signals`/],
  [{ signals: [] }, /`signals`/],
  [{ signals: ['TERM'] }, /`signals`/],
  [{ signals: ['SIGTREM'] }, /`signals`/],
  [{ signals: ['SIGTERM', 'SIGKILL'] }, /`signals` to be .* that a process can listen for/],
  [{ server: () => {} }, /`server` to be .*, got a function: give what `app\.listen\(…\)` returned/],
  [{ deadlineMS: 5 }, /`deadlineMS`/],
])('an option that cannot be used is refused by name: %j', (options, message) => {
  const sessions = { close: async () => nothing }
  expect(() => drainOnSignal({ sessions, signals: [SIGNAL], ...options } as DrainOnSignalOptions)).toThrow(message)
  expect(process.listenerCount(SIGNAL)).toBe(0)
})

describe('the primary of a cluster', () => {
  const worker = (over: object = {}) => {
    const exits: ((code: number) => void)[] = []
    const sent: string[] = []
    const killed: string[] = []
    return {
      exitedAfterDisconnect: false,
      isDead: () => false,
      send: (message: string) => void sent.push(message),
      once: (_event: 'exit', listener: (code: number) => void) => void exits.push(listener),
      process: { kill: (name: 'SIGKILL') => void killed.push(name) },
      sent,
      killed,
      exit: (code: number) => {
        for (const listener of exits) listener(code)
      },
      ...over,
    }
  }
  const primary = (workers: Record<string, ReturnType<typeof worker> | undefined>, deadlineMs = 200) => {
    const codes: number[] = []
    let onExit = (): void => {}
    const exited = new Promise<void>((resolve) => {
      onExit = resolve
    })
    const exit = (code: number): void => {
      codes.push(code)
      onExit()
    }
    ending.push(drainWorkersOnSignal({ cluster: { workers }, signals: [SIGNAL], deadlineMs, exit }))
    return { codes, exited }
  }

  test('asks those that live, marks them as asked, and ends as the worst of them did', async () => {
    const [good, bad, dead] = [worker(), worker(), worker({ isDead: () => true })]
    const { codes, exited } = primary({ 1: good, 2: bad, 3: dead, 4: undefined }, 10_000)
    signal()
    expect([good.sent, bad.sent, dead.sent]).toEqual([['nonstick:drain'], ['nonstick:drain'], []])
    expect([good.exitedAfterDisconnect, dead.exitedAfterDisconnect]).toEqual([true, false])
    good.exit(0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(codes).toEqual([])
    bad.exit(1)
    await exited
    expect(codes).toEqual([1])
  })

  test('asks again who may not have heard, and who was started meanwhile', async () => {
    const [starting, later] = [worker(), worker()]
    const workers: Record<string, ReturnType<typeof worker>> = { 1: starting }
    const { codes, exited } = primary(workers, 10_000)
    signal()
    workers['2'] = later
    await expect.poll(() => later.sent.length, { timeout: 5_000 }).toBeGreaterThan(0)
    expect(starting.sent.length).toBeGreaterThan(1)
    expect(later.exitedAfterDisconnect).toBe(true)
    starting.exit(0)
    await exited
    expect([codes, later.killed]).toEqual([[0], ['SIGKILL']])
  })

  test('kills who is late', async () => {
    const late = worker()
    const { codes, exited } = primary({ 1: late })
    signal()
    await exited
    expect([codes, late.killed]).toEqual([[1], ['SIGKILL']])
  })

  test('kills all at a second signal', async () => {
    const busy = worker()
    const { codes, exited } = primary({ 1: busy })
    signal()
    signal()
    await exited
    expect([codes, busy.killed]).toEqual([[1], ['SIGKILL']])
    busy.exit(1)
    await new Promise((resolve) => setTimeout(resolve, 20))
  })

  test('without workers ends with 0', async () => {
    const { codes, exited } = primary({})
    signal()
    await exited
    expect(codes).toEqual([0])
  })

  test('refuses what is no cluster', () => {
    expect(() => drainWorkersOnSignal({ cluster: undefined as never })).toThrow(/`cluster`/)
  })
})
