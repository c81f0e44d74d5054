import { Pool } from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { AnswerMeter, type boundOf } from '../../../src/backends/postgres/answer-meter.js'
import { postgres } from '../../../src/backends/postgres/index.js'
import type { Backend, Enumerable } from '../../../src/contract/backend.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { clusterForThisFile } from './cluster.js'
import {
  columns,
  message,
  messageClaiming,
  pour,
  READY,
  row,
  type Script,
  type ScriptedPostgres,
  scriptedPostgres,
} from './scripted.js'

const cluster = clusterForThisFile()

const MIB = 1_048_576

/** Patient with a busy machine: no answer here is late. */
const PATIENT = { queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 } as const

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const serverWith = async (script: Script): Promise<ScriptedPostgres> => {
  const server = await scriptedPostgres(script)
  closing.push(() => server.close())
  return server
}

type Opened = Backend & Enumerable

/** Over a pool of the backend's own, and over one of the application's. */
const WAYS: readonly [way: string, open: (url: string, maxDataBytes: number) => Opened][] = [
  ['a pool of our own', (connectionString, maxDataBytes) => postgres({ connectionString, maxDataBytes, ...PATIENT })],
  [
    'a pool of the application',
    (connectionString, maxDataBytes) => {
      const pool = new Pool({ connectionString })
      pool.on('error', () => {})
      closing.push(() => pool.end())
      return postgres({ pool, maxDataBytes, queryTimeoutMs: PATIENT.queryTimeoutMs })
    },
  ],
]
const [[, withOwnPool] = []] = WAYS

const opened = (backend: Opened): Opened => {
  closing.push(() => backend.close())
  return backend
}

const errorOf = async (asking: Promise<unknown>): Promise<Error> => {
  const outcome = await asking.then(
    () => undefined,
    (raised: unknown) => raised,
  )
  if (outcome instanceof Error) return outcome
  throw new Error('Expected the call to fail')
}

const TOO_LARGE = /its answer is larger than the \d+ bytes that it may have: .* `maxDataBytes`/
const TOO_MANY = /its answer has more than the \d+ messages that it may have/
const UNREADABLE = /its answer is none that can be read/

const read = (backend: Opened) => backend.read(sampleLocator())

/** What never ends, each as a server may send it; it stops by itself after as much as a test has time for. */
const FLOOD_BYTES = 256 * MIB
const ENDLESS: readonly [what: string, script: Script][] = [
  [
    'a row whose length says two gigabytes',
    { asked: (send) => send(messageClaiming('D', 2 ** 31 - 1), () => pour(send, Buffer.alloc(MIB), FLOOD_BYTES)) },
  ],
  [
    'large rows without end',
    {
      asked: (send) => send(columns('found'), () => pour(send, row(Buffer.alloc(64_000, 'x')), FLOOD_BYTES)),
    },
  ],
  [
    'one error without end',
    { asked: (send) => send(messageClaiming('E', 2 ** 32 - 1), () => pour(send, Buffer.alloc(MIB, 'M'), FLOOD_BYTES)) },
  ],
  [
    'notices without end',
    {
      asked: (send) =>
        pour(send, Buffer.concat(Array.from({ length: 900 }, () => message('N', 'Mno\0\0'))), FLOOD_BYTES),
    },
  ],
]

describe.each(WAYS)('over %s an answer that is larger than what was asked for is not read', (_way, open) => {
  test.each(ENDLESS)('%s', async (_what, script) => {
    const server = await serverWith(script)
    const backend = opened(open(server.url, MIB))
    const error = await errorOf(read(backend))
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', answered: true, applied: undefined })
    expect(error.message).toMatch(new RegExp(`${TOO_LARGE.source}|${TOO_MANY.source}`))
    // The bound of a read is 5 MiB and a little; some more is under way in buffers of the system.
    expect(server.sentBytes()).toBeLessThan(32 * MIB)
    // It is not sent again, and nobody uses the connection any more.
    expect(server.connections().opened).toBe(1)
    await expect.poll(() => server.connections().open).toBe(0)
  })

  test('to a change, of which nobody knows whether it was made', async () => {
    const server = await serverWith({
      asked: (send, text) => {
        if (/insert into/.test(text)) pour(send, row(Buffer.alloc(64_000, 'x')), FLOOD_BYTES)
        else send(Buffer.concat([columns('readable'), row('f'), message('C', 'SELECT 1\0'), READY]))
      },
    })
    const backend = opened(open(server.url, 1_024))
    const error = await errorOf(backend.insert(sampleLocator(), storedSession()))
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', answered: true, applied: 'unknown' })
    expect(server.sentBytes()).toBeLessThan(32 * MIB)
  })
})

describe('over a pool of our own nothing that a server says stops or ends the process', () => {
  test.each<readonly [what: string, bytes: Buffer, because: RegExp]>([
    ['a row with less than no columns', message('D', Buffer.from([0xff, 0xfb])), UNREADABLE],
    ['a row without a count', message('D'), UNREADABLE],
    ['a row that breaks off', message('D', Buffer.from([0, 9, 0, 0])), UNREADABLE],
    ['an error whose fields do not end', message('E', 'SERROR'), UNREADABLE],
    ['an error whose last field does not end the list', message('E', 'SERROR\0'), UNREADABLE],
    ['an error of nothing', message('E'), UNREADABLE],
    ['a notice whose fields do not end', message('N', 'Mno'), UNREADABLE],
    ['another way to sign in than there is', message('R', Buffer.from([0, 0, 0, 99])), UNREADABLE],
    ['a description of less than no columns', message('T', Buffer.from([0x80, 0, 1])), /./],
    ['a message that is shorter than its length', messageClaiming('D', 3), UNREADABLE],
    ['a message without a length', messageClaiming('Z', 0, 'I'), UNREADABLE],
    ['another kind of message than there is', message('?', 'what'), /received invalid response: 3f/],
  ])('%s', async (_what, bytes, because) => {
    for (const script of [
      { asked: (send) => send(bytes, () => send(READY)) },
      { atStart: (send) => send(bytes) },
    ] satisfies Script[]) {
      const server = await serverWith(script)
      const backend = opened(postgres({ connectionString: server.url, queryTimeoutMs: 2_000, connectTimeoutMs: 1_000 }))
      const error = await errorOf(read(backend))
      expect(error).toMatchObject({ code: expect.stringMatching(/^E_(?:SESSION|BACKEND)_[A-Z]+$/) })
      if ('asked' in script) expect(error.message).toMatch(because)
    }
  })

  test('a flood before anybody is let in', async () => {
    const server = await serverWith({
      atStart: (send) => pour(send, message('S', `application_name\0${'x'.repeat(60_000)}\0`), FLOOD_BYTES),
    })
    const error = await errorOf(read(opened((withOwnPool as (typeof WAYS)[number][1])(server.url, MIB))))
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', answered: true })
    expect(error.message).toMatch(TOO_LARGE)
    expect(server.sentBytes()).toBeLessThan(32 * MIB)
  })

  test('a flood over a connection that nobody uses', async () => {
    let tell: (line: string) => void = () => {}
    const lost = new Promise<string>((resolve) => {
      tell = resolve
    })
    const server = await serverWith({
      asked: (send, text) => {
        send(Buffer.concat([columns('found'), message('C', 'SELECT 0\0'), READY]), () => {
          if (text.includes('current_epoch'))
            pour(send, message('S', `application_name\0${'x'.repeat(60_000)}\0`), FLOOD_BYTES)
        })
      },
    })
    const backend = opened(postgres({ connectionString: server.url, ...PATIENT, log: tell }))
    await read(backend)
    await lost
    await expect.poll(() => server.connections().open).toBe(0)
    expect(server.connections().opened).toBe(1)
    expect(server.sentBytes()).toBeLessThan(32 * MIB)
  })
})

describe('a real server', () => {
  const over = (maxDataBytes: number, settings = ''): Opened => {
    const { url, schema } = cluster()
    const connectionString = settings === '' ? url : `${url}?options=${encodeURIComponent(settings)}`
    return opened(postgres({ connectionString, schema, maxDataBytes, ...PATIENT }))
  }
  /** Bytes of which none is a printable character, so that each takes four characters where it is escaped. */
  const data = Buffer.alloc(3 * MIB, 0xff)

  test.each([
    ['as it is', ''],
    ['where it writes bytes by fours', '-c bytea_output=escape'],
    ['where it is talkative', '-c client_min_messages=debug5'],
  ])('gives back as much as may be stored, alone and in a page, %s', async (_how, settings) => {
    const backend = over(data.length, settings)
    const locator = sampleLocator({ namespace: 'bounded' })
    await backend.insert(locator, storedSession({ data }))
    const copy = await backend.read(locator)
    expect(copy.state === 'live' && Buffer.compare(copy.session.data, data)).toBe(0)
    const page = await backend.list({ namespace: 'bounded', now: 0, limit: 5, withData: true, maxBytes: 1_024 })
    expect(page.entries.map((entry) => ('session' in entry ? entry.session.data.length : 0))).toContain(data.length)
  })

  test('is not sent more than that', async () => {
    const error = await errorOf(over(data.length - 1).insert(sampleLocator(), storedSession({ data })))
    expect(error).toMatchObject({ code: 'E_SESSION_TOO_LARGE', applied: 'no' })
    expect(error.message).toContain('`maxDataBytes`')
  })

  test('may hold what a process with another `maxDataBytes` has stored: that is said, and the next call works', async () => {
    const locator = sampleLocator()
    await over(data.length).insert(locator, storedSession({ data }))
    const tight = over(MIB / 8)
    const error = await errorOf(tight.read(locator))
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', answered: true })
    expect(error.message).toMatch(TOO_LARGE)
    expect(await tight.read(sampleLocator())).toEqual({ state: 'absent' })
  })
})

test('what an answer may have is counted the same, in however many pieces it comes', () => {
  const bytes = Buffer.concat([
    columns('a', 'b'),
    row('1', '22'),
    message('N', 'Mno\0\0'),
    message('E', 'SERROR\0\0'),
    READY,
  ])
  for (let size = 1; size <= bytes.length; size += 1) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    )
    const fed = (bound: ReturnType<typeof boundOf>) => () => {
      const meter = new AnswerMeter()
      meter.expect(bound)
      for (const piece of pieces) meter.look(piece)
    }
    expect(fed({ bytes: bytes.length, messages: 5 })).not.toThrow()
    expect(fed({ bytes: bytes.length - 1, messages: 5 })).toThrow('larger')
    expect(fed({ bytes: bytes.length, messages: 4 })).toThrow('messages')
  }
})
