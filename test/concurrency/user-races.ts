import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { OnTooManySessions } from '../../src/session/seats.js'
import { rounds, seed } from '../support/seed.js'
import { type Found, skipUnless } from '../support/servers.js'
import { type Chance, chance } from './chance.js'
import { type Cluster, noComplaints } from './cluster.js'
import { everyCallAnswers, loggedOutEverywhere } from './history.js'
import type { Done, LoginBy, Step } from './processes.js'

/** In each of them three processes log one user in, and go on with sessions that he has. */
const ROUNDS = rounds(334, 3_334)
const LIMIT_ROUNDS = rounds(5, 200)
const LOGINS_AT_ONCE = 20
const MAX_SESSIONS = 5
/** Users that are raced for at the same time: they take turns on the processors, and shake each other's timing. */
const BATCH = 10
const LOGINS: readonly LoginBy[] = ['create', 'save', 'update', 'put', 'regenerate']
const THREE = [0, 1, 2] as const
/** The stand-in for CouchDB brings its indexes up to date at each list, which takes it long on a busy machine. */
const USERS = { identifies: true, patienceMs: 60_000 }

vi.setConfig({ testTimeout: rounds(30, 120) * 60_000 })

/** Races of three processes for the sessions of one user, the same on each backend. */
export const userRaces = (title: string, found: Found<() => Promise<Cluster>>): void => skipUnless(title, found, raceOn)

/** What one user's race left to be judged. */
interface Race {
  readonly round: number
  readonly user: string
  /** The sessions that he had before he was logged out everywhere. */
  readonly had: readonly string[]
  readonly except: string | undefined
  readonly ids: readonly string[]
  readonly logins: readonly Done[]
  readonly history: Done[]
}

const raceOn = (start: () => Promise<Cluster>): void => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await start()
  })
  afterAll(async () => {
    await cluster?.stop()
  })

  const run = async (
    process: number,
    store: string,
    steps: readonly Step[],
    atOnce = false,
  ): Promise<readonly Done[]> => (await cluster.processes[process]?.run({ store, id: '', steps, atOnce })) ?? []
  const everywhere = async (store: string, steps: readonly Step[]): Promise<Done[]> =>
    (await Promise.all(THREE.map((process) => run(process, store, steps)))).flat()

  /**
   * A user has three sessions, one for each process. While he is logged out everywhere, with one of the three excepted in
   * every third round, each process logs him in once more, by whichever call, and goes on with the session that he had.
   */
  const raceLogout = async (store: string, round: number, random: Chance): Promise<Race> => {
    const user = `ada ${round}`
    const had = THREE.map(() => randomUUID())
    const except = round % 3 === 0 ? had[0] : undefined
    const logins = THREE.map(() => ({ id: randomUUID(), by: LOGINS[random.below(LOGINS.length)] ?? 'create' }))

    const preparing = THREE.map((process): Step[] => [
      { what: 'login', id: had[process] ?? '', user, by: 'create' },
      { what: 'load', id: had[process] ?? '', hold: true },
      ...logins
        .slice(process, process + 1)
        .flatMap(({ id, by }): Step[] => (by === 'create' ? [] : [{ what: 'create', id }])),
    ])
    const before = (await Promise.all(preparing.map((steps, process) => run(process, store, steps)))).flat()

    const goingOn = (process: number, id: string): Step => {
      const common = { id, afterMs: random.waitMs(12) }
      const way = random.below(id === except ? 2 : 3)
      if (way === 0) return { ...common, what: 'write', held: true, token: `t${process}`, durable: random.onceIn(2) }
      if (way === 1) return { ...common, what: 'update', token: `u${process}` }
      return { ...common, what: 'regenerate' }
    }
    const racing = THREE.map((process): Step[] => [
      ...logins
        .slice(process, process + 1)
        .map((login): Step => ({ what: 'login', user, afterMs: random.waitMs(12), ...login })),
      goingOn(process, had[process] ?? ''),
    ])
    const logout: Step = {
      what: 'logout everywhere',
      user,
      afterMs: random.waitMs(12),
      ...(except === undefined ? {} : { except }),
    }
    const known = [...had, ...logins.map(({ id }) => id)]
    const looksAt = (ids: readonly string[]): Step[] => ids.map((id) => ({ what: 'load', id }))
    const [loggedOut, ...raced] = await Promise.all([
      run(random.below(3), store, [logout, ...looksAt(known)]),
      ...racing.map((steps, process) => run(process, store, steps, true)),
    ])
    const ids = [...new Set([...known, ...raced.flat().flatMap(({ id }) => id ?? [])])]
    const renamed = raced.flat().flatMap(({ what, id }) => (what === 'regenerate' && id !== undefined ? [id] : []))
    const after = await Promise.all(
      THREE.map((process) =>
        run(process, store, [
          { what: 'write', id: had[process] ?? '', held: true, token: `t${process}-late` },
          ...looksAt(ids),
        ]),
      ),
    )
    return {
      ...{ round, user, had: [...had, ...renamed], except, ids },
      logins: raced.flat().filter(({ what }) => what === 'login'),
      history: [...before, ...loggedOut, ...raced.flat(), ...after.flat()],
    }
  }

  /** Empties the cache, lets every process look again, and judges each race. */
  const judge = async (store: string, races: readonly Race[]): Promise<void> => {
    const losses = [await cluster.emptyCache()]
    await Promise.all(
      races.map(async ({ round, user, had, except, ids, history }) => {
        const looks = await everywhere(
          store,
          ids.map((id) => ({ what: 'load', id })),
        )
        history.push(...looks)
        const { epoch, ofSessions } = (await cluster.processes[0]?.epochs(store, user, ids)) ?? expect.fail()
        const logout = { user, before: new Set(had), except, epoch, epochs: new Map(ofSessions) }
        const complaints = [...everyCallAnswers(history), ...loggedOutEverywhere(history, logout)]
        for (const { what, user: seen, outcome, process } of history.filter((each) => each.session === except))
          if (outcome !== 'ok' || (what === 'load' && seen !== user))
            complaints.push(`the excepted session did not stay for a ${what} in process ${process}`)
        noComplaints(`round ${round}`, complaints, history, losses)
      }),
    )
    await cluster.takeRows()
  }

  test(`logging a user out everywhere while three processes log him in, ${3 * ROUNDS} logins: no survivor`, async () => {
    const store = 'logouts'
    await cluster.open(store, USERS)
    let [caught, later, ended] = [0, 0, 0]
    for (let first = 0; first < ROUNDS; first += BATCH) {
      const numbers = Array.from({ length: Math.min(BATCH, ROUNDS - first) }, (_, at) => first + at)
      const races = await Promise.all(numbers.map((round) => raceLogout(store, round, chance(round))))
      await judge(store, races)
      for (const { user, logins, history } of races)
        for (const { outcome, id, session } of logins) {
          const isThere = history.findLast((look) => look.what === 'load' && look.session === (id ?? session))?.user
          if (outcome === 'refused') caught += 1
          else if (isThere === user) later += 1
          else ended += 1
        }
    }
    // Logins met the logout before it, after it, and between its two steps, or there was nothing to judge.
    for (const count of [caught, later, ended]) expect(count, `seed: ${seed}`).toBeGreaterThan(0)
    await cluster.close(store)
  })

  test.each<OnTooManySessions>(['end-oldest', 'refuse'])(
    `of ${LOGINS_AT_ONCE} logins at once, with at most ${MAX_SESSIONS} sessions and \`%s\`, ${MAX_SESSIONS} remain`,
    async (onTooManySessions) => {
      const store = onTooManySessions
      await cluster.open(store, { ...USERS, maxSessionsPerUser: MAX_SESSIONS, onTooManySessions })
      for (let round = 0; round < LIMIT_ROUNDS; round += 1) {
        const user = `${onTooManySessions} ${round}`
        const ids = Array.from({ length: LOGINS_AT_ONCE }, () => randomUUID())
        const loginsOf = (process: number): Step[] =>
          ids.filter((_, n) => n % 3 === process).map((id) => ({ what: 'login', id, user, by: 'create' }))
        const logins = (await Promise.all(THREE.map((each) => run(each, store, loginsOf(each), true)))).flat()
        const expected = onTooManySessions === 'refuse' ? /^E_SESSION_LIMIT / : /^E_SESSION_DESTROYED /
        for (const { outcome, error } of logins) if (outcome !== 'ok') expect(error, `round ${round}`).toMatch(expected)
        if (onTooManySessions === 'refuse')
          expect(logins.filter(({ outcome }) => outcome === 'ok')).toHaveLength(MAX_SESSIONS)

        const lists = await Promise.all(cluster.processes.map((each) => each.listByUser(store, user)))
        for (const handles of lists) expect(new Set(handles).size, `round ${round}, seed: ${seed}`).toBe(MAX_SESSIONS)
        for (const again of [false, true]) {
          if (again) await cluster.emptyCache()
          const looks = await everywhere(
            store,
            ids.map((id) => ({ what: 'load', id })),
          )
          const served = looks.filter((look) => look.user === user).map(({ process }) => process)
          expect(served.toSorted(), `round ${round}, seed: ${seed}`).toEqual(
            [1, 2, 3].flatMap((process) => Array(MAX_SESSIONS).fill(process)),
          )
        }
      }
      await cluster.takeRows()
      await cluster.close(store)
    },
  )
}
