import assert from 'node:assert/strict'
import { MOST_SEATS, NO_RECORD, type UserLocator } from '../../contract/backend.js'
import { sampleLineage, sampleLocator, storedSession } from '../stored-session.js'
import { type Bench, insertNew, nextOf, type Rule, times } from './rule.js'

const asked = ({ users }: Bench): NonNullable<Bench['users']> => {
  if (users === undefined) assert.fail('the subject knows of no users')
  return users
}

const sampleUser = (namespace = 'contract'): UserLocator => ({ namespace, userId: `user ${sampleLineage()}` })

/** `KnowsUsers`, for backends that keep a record of each user. */
export const USERS: readonly Rule[] = [
  {
    title: 'a user nobody has written a record for has the empty one, and what was written comes back, every field',
    check: async (bench) => {
      const backend = asked(bench)
      const user = sampleUser()
      assert.deepEqual(await backend.readUser(user), { record: NO_RECORD, token: '' })
      const seats = [
        { locator: sampleLocator({ bornMonth: '2611' }), takenAt: 1_790_000_000_123 },
        { locator: sampleLocator(), takenAt: 0 },
      ]
      for (const record of [
        { epoch: 1, seats },
        { epoch: 2_147_483_646, seats: [] },
        { epoch: 3, seats: undefined },
        { epoch: 4, seats: times(MOST_SEATS, () => ({ locator: sampleLocator({ bornMonth: '2611' }), takenAt: 1 })) },
      ]) {
        const { token } = await backend.readUser(user)
        assert.equal(await backend.writeUser(user, record, token), 'written')
        assert.deepEqual((await backend.readUser(user)).record, record)
      }
    },
  },
  {
    title: 'users of different names and namespaces have records of their own, whatever characters a name has',
    check: async (bench) => {
      const backend = asked(bench)
      const namespace = `users${sampleLineage()}`
      const names = [
        'ada',
        'Ada',
        'ada ',
        'a:b',
        'a/b',
        '_design/x',
        '%61da',
        'größer',
        "'; --",
        '\u{1F600}',
        'x'.repeat(2_000),
      ]
      const users = [...names.map((userId) => ({ namespace, userId })), { namespace: `${namespace}.a`, userId: 'ada' }]
      for (const [index, user] of users.entries())
        assert.equal(await backend.writeUser(user, { epoch: index + 1, seats: undefined }, ''), 'written')
      for (const [index, user] of users.entries())
        assert.equal((await backend.readUser(user)).record.epoch, index + 1, user.userId)
    },
  },
  {
    title:
      'a record is replaced only where the version that was seen still stands, and of many at once one comes through',
    check: async (bench) => {
      const backend = asked(bench)
      const user = sampleUser()
      for (let round = 0; round < 3; round += 1) {
        const { record, token } = await backend.readUser(user)
        const outcomes = await Promise.all(
          times(8, (index) =>
            backend.writeUser(
              user,
              { epoch: record.epoch + 1, seats: [{ locator: sampleLocator(), takenAt: index }] },
              token,
            ),
          ),
        )
        assert.equal(outcomes.filter((outcome) => outcome === 'written').length, 1)
        const now = await backend.readUser(user)
        assert.equal(now.record.epoch, round + 1)
        assert.equal(now.record.seats?.[0]?.takenAt, outcomes.indexOf('written'))
        assert.notEqual(now.token, token)
        assert.equal(await backend.writeUser(user, { epoch: 99, seats: undefined }, token), 'changed')
        assert.equal(await backend.writeUser(user, { epoch: 99, seats: undefined }, ''), 'changed')
        assert.deepEqual(await backend.readUser(user), now)
      }
    },
  },
  {
    title: 'a read of a session tells the epoch of its user by now, and that of nobody none',
    check: async (bench) => {
      const backend = asked(bench)
      const user = sampleUser()
      const locator = sampleLocator()
      const session = storedSession({ userId: user.userId })
      const currentEpoch = async (): Promise<number | undefined> => {
        const copy = await backend.read(locator)
        return copy.state === 'live' ? copy.currentEpoch : assert.fail(`it should be live, and is ${copy.state}`)
      }
      await insertNew(backend, locator, session)
      assert.equal(await currentEpoch(), 0)
      assert.equal(await backend.writeUser(user, { epoch: 5, seats: [] }, ''), 'written')
      assert.equal(await currentEpoch(), 5)
      const anonymous = nextOf(locator, session, { userId: undefined })
      assert.equal((await backend.update([anonymous]))[0]?.outcome, 'applied')
      assert.equal(await currentEpoch(), undefined)
    },
  },
  {
    title: 'a record outlives the sessions of its user, and a purge leaves it',
    check: async (bench) => {
      const backend = asked(bench)
      const user = sampleUser()
      assert.equal(await backend.writeUser(user, { epoch: 7, seats: [] }, ''), 'written')
      await backend.purge({ now: bench.now() + 86_400_000, limit: 1_000, graceMs: 0 })
      assert.equal((await backend.readUser(user)).record.epoch, 7)
    },
  },
]
