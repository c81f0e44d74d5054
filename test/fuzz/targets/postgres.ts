import { Duplex } from 'node:stream'
import { UnreadAnswer } from '../../../src/backends/postgres/answer-meter.js'
import { MeteredClient } from '../../../src/backends/postgres/metered-client.js'
import { copyOf, type Row, recordOf, seatsText, sessionValues, stateOf } from '../../../src/backends/postgres/row.js'
import { VALUE_TYPES } from '../../../src/backends/postgres/types.js'
import type { StoredSession } from '../../../src/contract/backend.js'
import { columns, message, messageClaiming, READY, row as rowMessage } from '../../backends/postgres/scripted.js'
import { anyBytes, mutatedJson, SECRET } from '../mutate.js'
import { assertEqual, assertThat, targetOf } from '../target.js'
import { sessionSample } from './samples.js'

const [BOOL, BYTEA, INT8, TEXT] = [16, 17, 20, 25]
type Column = readonly [oid: number, text: string | null]

const hex = (bytes: Uint8Array): string => `\\x${Buffer.from(bytes).toString('hex')}`
const names = (...all: readonly string[]): string => `\\x${all.join('')}`

const SEATS = [
  { locator: { key: `shop:${'k'.repeat(43)}`, bornMonth: '2606' }, takenAt: 5 },
  { locator: { key: 'shop:k' }, takenAt: 6 },
]

/** The columns as the server writes them. */
const rowOf = (session: StoredSession): Readonly<Record<string, Column>> => ({
  found: [BOOL, 't'],
  destroyed: [BOOL, 'f'],
  current_epoch: [INT8, '2'],
  data: [BYTEA, hex(session.data)],
  lineage: [BYTEA, names(session.lineage)],
  version: [INT8, String(session.version)],
  write_ids: [BYTEA, names(...session.writeIds)],
  codec: [INT8, String(session.codecId)],
  app: [TEXT, session.app],
  user_id: [TEXT, session.userId ?? null],
  user_epoch: [INT8, String(session.userEpoch)],
  identified_ms: [INT8, String(session.identifiedAt)],
  address: [TEXT, session.address ?? null],
  user_agent: [TEXT, session.userAgent ?? null],
  reads: [INT8, String(session.reads)],
  writes: [INT8, String(session.writes)],
  created_ms: [INT8, String(session.createdAt)],
  seen_ms: [INT8, String(session.seenAt)],
  expires_ms: [INT8, String(session.expiresAt)],
  absolute_expires_ms: [INT8, String(session.absoluteExpiresAt)],
  idle_ttl_ms: [INT8, String(session.idleTtlMs)],
  has_own_idle_ttl: [BOOL, session.hasOwnIdleTtl ? 't' : 'f'],
  epoch: [INT8, '3'],
  revision: [INT8, '9'],
  seats: [TEXT, seatsText(SEATS)],
})
const SAMPLES = [
  rowOf(sessionSample),
  { ...rowOf(sessionSample), user_id: [TEXT, null], data: [BYTEA, 'abc\\\\\\001\\377'] },
  { found: [BOOL, 'f'] },
  { found: [BOOL, 't'], destroyed: [BOOL, 't'] },
] as const

/** What pg makes of a row, by our types. */
const asPgGives = (given: unknown): Row =>
  Object.fromEntries(
    Object.entries((given ?? {}) as object).map(([name, column]: [string, unknown]) => {
      const [oid, text] = Array.isArray(column) ? (column as readonly unknown[]) : [TEXT, column]
      if (typeof text !== 'string') return [name, null]
      return [name, VALUE_TYPES.getTypeParser(typeof oid === 'number' ? oid : TEXT, 'text')(text)]
    }),
  )

interface Read {
  readonly copy: ReturnType<typeof copyOf>
  readonly record: ReturnType<typeof recordOf>
}

export const rows = targetOf<unknown, Read>({
  name: 'postgres-rows',
  make: (chance) => mutatedJson(chance, chance.pick(SAMPLES)),
  bytesOf: (row) => Buffer.from(JSON.stringify(row) ?? ''),
  parse: (given) => {
    const row = asPgGives(given)
    const record = recordOf(row)
    stateOf(row)
    return { copy: copyOf(row), record }
  },
  check: ({ copy, record }) => {
    assertThat('a record with an epoch', Number.isSafeInteger(record.record.epoch))
    const { seats } = record.record
    if (seats !== undefined)
      assertEqual(
        'seats that were read and written',
        recordOf(
          asPgGives({
            ...SAMPLES[0],
            seats: [TEXT, JSON.stringify(seats.map(({ locator, takenAt }) => ({ ...locator, takenAt })))],
          }),
        ).record.seats,
        seats,
      )
    if (copy.state !== 'live') return
    assertEqual('a session that was read and written', copyOf(asPgGives(rowOf(copy.session))), {
      ...copy,
      ...(copy.session.userId === undefined ? {} : { currentEpoch: 2 }),
    })
    try {
      sessionValues(copy.session, 1_000_000)
    } catch (error) {
      // A text or a moment that no row has: whoever stores it is told so, by `checked`.
      if (!(error instanceof TypeError || error instanceof RangeError)) throw error
      assertThat('an error that shows nothing', !error.message.includes(SECRET))
    }
  },
  cut: {
    copy: { state: 'live', session: { ...sessionSample, lineage: 'a1a2' }, token: new Uint8Array(0) },
    record: { record: { epoch: 0, seats: undefined }, token: '' },
  },
})

/** What pg connects through: it takes what is written, and gives what it is told to. */
class Line extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done()
  }
  connect(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}

const MESSAGES = [
  Buffer.concat([
    message('R', Buffer.alloc(4)),
    message('S', 'server_version\u000015.1\0'),
    message('K', Buffer.alloc(8)),
    READY,
  ]),
  Buffer.concat([columns('found', '__proto__'), rowMessage('t', SECRET), message('C', 'SELECT 1\0'), READY]),
  Buffer.concat([message('E', `SERROR\0C23505\0M${SECRET}\0\0`), READY]),
  Buffer.concat([
    message('N', 'SNOTICE\0Mno\0\0'),
    message('1'),
    message('2'),
    message('n'),
    message('s'),
    message('I'),
  ]),
  Buffer.concat([
    message('R', Buffer.from([0, 0, 0, 10, ...Buffer.from('SCRAM-SHA-256\0\0')])),
    message('R', Buffer.from([0, 0, 0, 11, ...Buffer.from('r=a,s=b,i=4096')])),
  ]),
  Buffer.concat([
    message('t', Buffer.from([0, 1, 0, 0, 0, 25])),
    message('A', Buffer.from([0, 0, 0, 1, 97, 0, 98, 0])),
  ]),
  Buffer.concat([message('H', Buffer.from([0, 0, 1, 0, 0])), message('d', 'xyz'), message('c')]),
]
const TOKENS = [
  ...['E', 'N', 'T', 'D', 'R', 'Z', 'C', 'G', 'H', 'W', 'K'].flatMap((type) => [
    message(type),
    message(type, 'a'),
    messageClaiming(type, 3),
    messageClaiming(type, 0x7fff_ffff),
  ]),
  message('D', Buffer.from([0xff, 0xfb])),
  message('E', 'SERROR'),
]

interface Heard {
  /** Why the connection was ended; `undefined` where it goes on. */
  readonly ended: UnreadAnswer | undefined
  readonly rows: readonly unknown[]
}

interface Input {
  readonly bytes: Buffer
  readonly size: number
}

/** What a pool's client makes of what comes over its connection. */
const heard = ({ bytes, size }: Input): Heard => {
  const line = new Line()
  line.on('error', () => {})
  const client = new MeteredClient({
    stream: () => line,
    user: 'u',
    password: SECRET,
    host: 'h',
    port: 1,
    database: 'd',
  })
  client.on('error', () => {})
  client.connect().catch(() => {})
  const rows: unknown[] = []
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('dataRow', (row: { fields: unknown }) => rows.push(row.fields))
  // Given to those who listen, as the event loop would: nothing here takes turns.
  for (let at = 0; at < bytes.length && !line.destroyed; at += size)
    line.emit('data', Buffer.from(bytes.subarray(at, at + size)))
  line.destroy()
  return { ended: client.unread, rows }
}

export const messages = targetOf<Input, Heard>({
  name: 'postgres-messages',
  make: (chance) => ({ bytes: anyBytes(chance, MESSAGES, TOKENS), size: chance.pick([1, 3, 5, 16, 64, 20_000]) }),
  bytesOf: ({ bytes }) => bytes,
  parse: (input) => {
    const outcome = heard(input)
    if (outcome.ended !== undefined) throw outcome.ended
    return outcome
  },
  check: ({ rows: found }, { bytes }) => {
    const all = found as readonly (readonly unknown[])[]
    assertThat('rows that are in the bytes', all.length * 7 <= bytes.length)
    // A field takes the bytes of its length, also where it is null.
    assertThat(
      'fields that are in the bytes',
      all.every((fields) => Array.isArray(fields) && fields.length * 4 <= bytes.length),
    )
  },
  refuses: (error) => error instanceof UnreadAnswer,
  cut: { ended: undefined, rows: [undefined] },
  faults: {
    'gives the parser what it likes': (parse) => (input) => {
      if (input.bytes.includes('D')) throw new RangeError('Invalid array length')
      return parse(input)
    },
  },
})
