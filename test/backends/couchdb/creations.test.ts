import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import type { CouchdbOptions } from '../../../src/backends/couchdb/index.js'
import { partsOf } from '../../../src/backends/couchdb/parts.js'
import { sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { QUIET_DAY, standingRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { bornThen, closedAfterEach, wireForThisFile } from './scene.js'
import { type Asked, json, type Script, scripted } from './scripted.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const wire = wireForThisFile(couch)
const closing = closedAfterEach()

const backendOf = (options: CouchdbOptions) => {
  const backend = couchdb({ ...options, runtime: standingRuntime })
  closing.push(() => backend.close())
  return backend
}

const documentsOf = ({ body }: Asked): { _id: string; userId?: string }[] => {
  const parsed = JSON.parse(body) as { docs?: { _id: string }[]; _id: string }
  return parsed.docs ?? [parsed]
}

/** Takes everything, and does `first` before it. */
const taking =
  (first: (asked: Asked, response: ServerResponse) => boolean): Script =>
  (asked, response) => {
    if (first(asked, response)) return
    const rows = documentsOf(asked).map(({ _id: id }) => ({ ok: true, id, rev: '1-a' }))
    json(response, 201, asked.path.endsWith('_bulk_docs') ? rows : rows[0])
  }

const serverThat = async (first: (asked: Asked, response: ServerResponse) => boolean) => {
  const server = await scripted(taking(first))
  closing.push(() => server.close())
  const options = { url: server.url, absoluteTtlMs: 30 * 86_400_000, requestTimeoutMs: 30_000 }
  return { ...server, options }
}

describe('creations', () => {
  test('that come together go out together, and each is created, or finds what stands there', async () => {
    const backend = backendOf({ ...couch().options(), url: wire().url })
    await backend.setUp()
    const [stood, dead] = [bornThen(), bornThen()]
    await backend.insert(stood, storedSession())
    await backend.destroy(dead, { writeId: sampleWriteId(), at: QUIET_DAY, keepUntil: QUIET_DAY + 86_400_000 })
    const locators = Array.from({ length: 64 }, bornThen)
    const sessions = locators.map(() => storedSession())
    const created: string[] = []
    const asked = await wire().during(async () => {
      const all = [...locators, stood, dead]
      const outcomes = await Promise.all(
        all.map((locator, at) => backend.insert(locator, sessions[at] ?? storedSession())),
      )
      created.push(...outcomes.map(({ outcome }) => outcome))
      expect(outcomes.slice(64)).toMatchObject([{ row: { state: 'live' } }, { row: { state: 'destroyed' } }])
    })
    expect(created).toEqual([...locators.map(() => 'inserted'), 'exists', 'exists'])
    const writes = asked.filter((line) => !line.startsWith('GET'))
    const kinds = writes.map((line) => line.replace(/ \/\S+?(?=\/_bulk_docs|\/s%3A)/, '').replace(/s%3A\S+/, ''))
    expect(kinds.sort()).toEqual(['POST/_bulk_docs (62)', ...Array.from({ length: 4 }, () => 'PUT/')])
    for (const at of [0, 3, 4, 63]) {
      const [locator, session] = [locators[at], sessions[at]]
      if (locator === undefined) expect.fail('there are so many')
      expect(await backend.read(locator)).toMatchObject({ state: 'live', session })
    }
  })

  test('of one month that hang do not hold up the rest', async () => {
    let hanging = 0
    const { options } = await serverThat(({ method }) => method === 'PUT' && ++hanging <= 3)
    const backend = backendOf({ ...options, requestTimeoutMs: 3_000 })
    const stuck = Array.from({ length: 3 }, () => backend.insert(bornThen(), storedSession()))
    const failing = Promise.all(stuck.map((call) => expect(call).rejects.toMatchObject({ applied: 'unknown' })))
    const outcomes = await Promise.all(Array.from({ length: 30 }, () => backend.insert(bornThen(), storedSession())))
    expect(outcomes.every(({ outcome }) => outcome === 'inserted')).toBe(true)
    await failing
  })

  test('each keep their own deadline, whatever they wait for and go together with', async () => {
    const held: (() => void)[] = []
    const { options } = await serverThat((one, response) => {
      held.push(() => taking(() => false)(one, response))
      return true
    })
    const backend = backendOf(options)
    const alone = Array.from({ length: 4 }, () => backend.insert(bornThen(), storedSession()))
    await expect.poll(() => held.length).toBe(4)
    const waiting = backend.insert(bornThen(), storedSession(), { notAfter: QUIET_DAY + 200 })
    // It waits behind four that are not answered, so that it was not sent.
    await expect(waiting).rejects.toMatchObject({ applied: 'no' })
    const patient = backend.insert(bornThen(), storedSession())
    const hurried = backend.insert(bornThen(), storedSession(), { notAfter: QUIET_DAY + 2_000 })
    for (const answer of held.splice(0)) answer()
    await Promise.all(alone)
    await expect.poll(() => held.length).toBe(1)
    // The two went together, and only one of them has time left.
    await expect(hurried).rejects.toMatchObject({ applied: 'unknown' })
    for (const answer of held) answer()
    expect((await patient).outcome).toBe('inserted')
  })

  test('that wait behind others are not sent when their time is over, and those beside them are', async () => {
    const held: (() => void)[] = []
    const { options, asked } = await serverThat((one, response) => {
      if (held.length >= 4) return false
      held.push(() => taking(() => false)(one, response))
      return true
    })
    const backend = backendOf(options)
    const first = Array.from({ length: 4 }, () => backend.insert(bornThen(), storedSession()))
    await expect.poll(() => held.length).toBe(4)
    const [late, other, last] = [bornThen(), bornThen(), bornThen()]
    const hurried = backend.insert(late, storedSession(), { notAfter: QUIET_DAY + 50 })
    const lost = expect(hurried).rejects.toMatchObject({ applied: 'no' })
    const rest = [other, last].map((locator) => backend.insert(locator, storedSession()))
    await new Promise((resolve) => setTimeout(resolve, 100))
    for (const answer of held) answer()
    await lost
    for (const insertion of [...first, ...rest]) expect((await insertion).outcome).toBe('inserted')
    const sent = asked.flatMap(documentsOf).map(({ _id }) => _id)
    expect(sent).not.toContain(`s:${late.key}`)
    expect(sent).toContain(`s:${last.key}`)
  })

  test('fail alone where only one is too large or forbidden', async () => {
    const { options } = await serverThat((asked, response) => {
      const isOf = (user: string) => documentsOf(asked).some(({ userId }) => userId === user)
      if (isOf('large')) json(response, 413, { error: 'document_too_large' })
      return isOf('large')
    })
    const backend = backendOf(options)
    const users = ['a', 'b', 'c', 'd', 'e', 'large', 'f', 'g', 'h']
    const outcomes = await Promise.allSettled(
      users.map((userId) => backend.insert(bornThen(), storedSession({ userId }))),
    )
    for (const [at, outcome] of outcomes.entries())
      if (users[at] === 'large')
        expect(outcome).toMatchObject({ reason: { code: 'E_SESSION_TOO_LARGE', applied: 'no', operation: 'insert' } })
      else expect(outcome).toMatchObject({ value: { outcome: 'inserted' } })
  })
})

describe('what goes into one request', () => {
  const documents = (...lengths: number[]) => lengths.map((length) => ({ data: 'x'.repeat(length) }))
  const lengthsOf = (...lengths: number[]) =>
    partsOf(documents(...lengths), (content) => content).map((part) => part.map(({ data }) => data.length))

  test('is bounded by its length, save where one alone is longer', () => {
    expect(lengthsOf()).toEqual([])
    expect(lengthsOf(400_000, 400_000, 400_000)).toEqual([[400_000, 400_000], [400_000]])
    expect(lengthsOf(10, 3_000_000, 10, 20)).toEqual([[10], [3_000_000], [10, 20]])
    expect(lengthsOf(999_300, 1)).toEqual([[999_300], [1]])
  })

  test('and by its number, also where there is no data in it', () => {
    const parts = partsOf(
      Array.from({ length: 450 }, (_, at) => ({ at })),
      () => ({ kind: 'tombstone' }),
    )
    expect(parts.map((part) => part.length)).toEqual([200, 200, 50])
    expect(parts.flat().map(({ at }) => at)).toEqual(Array.from({ length: 450 }, (_, at) => at))
  })
})
