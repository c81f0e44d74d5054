import { factsOf } from '../../../src/backends/redis/facts.js'
import { recordOf, rowOf, seatsText, sessionOf, stateOf } from '../../../src/backends/redis/rows.js'
import type { StoredSession } from '../../../src/contract/backend.js'
import { mutatedJson, SECRET } from '../mutate.js'
import { assertEqual, assertThat, targetOf } from '../target.js'
import { sessionSample } from './samples.js'

const SEATS = [
  { locator: { key: `shop:${'k'.repeat(43)}`, bornMonth: '2606' }, takenAt: 5 },
  { locator: { key: 'shop:k' }, takenAt: 6 },
]

/** The fields of a session in the order in which they are asked for, its data as a text of bytes. */
const fieldsOf = (session: StoredSession): readonly string[] => {
  const row = rowOf(session)
  const { lineage, version, writeIds, expiresAt, idleTtlMs, seenAt, absoluteExpiresAt, header, data } = row
  return [
    's1',
    ...[lineage, version, writeIds, expiresAt, idleTtlMs, seenAt, absoluteExpiresAt, header],
    data.toString('latin1'),
  ]
}

interface Answers {
  readonly session: unknown
  readonly state: unknown
  readonly user: unknown
  readonly info: unknown
}

const SAMPLES: readonly Answers[] = [
  {
    session: fieldsOf(sessionSample),
    state: ['live', sessionSample.lineage, '7', sessionSample.writeIds.join('')],
    user: ['3', seatsText(SEATS), '9'],
    info: `redis_version:7.0.15\r\nrole:master\r\nmaxmemory:0\r\n${SECRET}`,
  },
  {
    session: fieldsOf({ ...sessionSample, userId: undefined, address: undefined, origin: 5 }),
    state: ['destroyed'],
    user: ['0', '', '1'],
    info: '',
  },
  { session: ['t1', '1111111111111111'], state: ['absent'], user: [null, null, null], info: 'role:slave' },
]

/** As a client gives an answer: its texts as bytes. */
const asClientGives = (given: unknown): unknown => {
  if (typeof given === 'string') return Buffer.from(given, 'latin1')
  return Array.isArray(given) ? (given as readonly unknown[]).map(asClientGives) : given
}

interface Read {
  readonly session: StoredSession
  readonly state: ReturnType<typeof stateOf>
  readonly user: ReturnType<typeof recordOf>
}

export const redisRows = targetOf<unknown, Read>({
  name: 'redis-rows',
  make: (chance) => mutatedJson(chance, chance.pick(SAMPLES)),
  bytesOf: (answers) => Buffer.from(JSON.stringify(answers) ?? ''),
  parse: (given) => {
    const { session, state, user, info } = (given ?? {}) as Partial<Answers>
    factsOf(typeof info === 'string' ? info : '')
    const words = asClientGives(state)
    return {
      session: sessionOf(asClientGives(session)),
      state: stateOf(Array.isArray(words) ? words : []),
      user: recordOf(asClientGives(user)),
    }
  },
  check: ({ session, state, user }) => {
    assertThat('a record with an epoch', Number.isSafeInteger(user.record.epoch))
    assertThat('a lineage', /^[0-9a-f]{16}$/.test(session.lineage))
    assertThat('a version', state.state !== 'live' || Number.isSafeInteger(state.version))
    const { seats } = user.record
    if (seats !== undefined)
      assertEqual(
        'seats that were read and written',
        recordOf(asClientGives(['3', Buffer.from(seatsText(seats)).toString('latin1'), '9'])).record.seats,
        seats,
      )
    let written: readonly string[]
    try {
      written = fieldsOf(session)
    } catch (error) {
      // A text that no index has: whoever stores it is told so.
      if (!(error instanceof TypeError)) throw error
      assertThat('an error that shows nothing', !error.message.includes(SECRET))
      return
    }
    const again = written.map((field, at) => Buffer.from(field, at === written.length - 1 ? 'latin1' : 'utf8'))
    assertEqual('a session that was read and written', sessionOf(again), session)
  },
  cut: {
    session: { ...sessionSample, lineage: 'a1a2' },
    state: { state: 'absent' },
    user: { record: { epoch: 0, seats: undefined }, token: '' },
  },
})
