import { describe, expect, test } from 'vitest'
import { History, nextList } from '../../scripts/demo-app/history.js'

/** One user, told what happened; every answer shows the lists given. */
const userWith = (tokens: number): History => {
  const history = new History('ada')
  for (let at = 1; at <= tokens; at++) expect(write(history, `t${at}`, range(1, at))).toEqual([])
  return history
}

const range = (from: number, to: number): string[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => `t${from + at}`)

const view = (left: readonly string[], user: string | undefined = 'ada') => ({ user, lists: { left } })

const write = (history: History, token: string, shown: readonly string[]): readonly string[] =>
  history.answered(history.begin({ list: 'left', token }), view(shown))

const look = (history: History, shown: readonly string[]): readonly string[] =>
  history.answered(history.begin(), view(shown))

const kill = (history: History): void => {
  history.killBegins()
  history.killEnded()
}

describe('the judge of the demo', () => {
  test('finds nothing wrong with exactly what was acknowledged', () => {
    const history = userWith(3)
    expect(look(history, range(1, 3))).toEqual([])
    expect(history.verdict(10)).toEqual({ lost: 0, beyondBound: 0, complaints: [] })
  })

  test("calls another user's data wrong, and a session that is gone", () => {
    const history = userWith(1)
    expect(history.answered(history.begin(), view(['t1'], 'bob'))).toHaveLength(1)
    expect(history.answered(history.begin(), { user: undefined, lists: {} })).toHaveLength(1)
  })

  test('calls a token wrong that nobody sent, that is there twice or out of order', () => {
    const history = userWith(2)
    expect(look(history, ['t1', 't2', 'x'])).toHaveLength(1)
    expect(look(history, ['t1', 't2', 't2'])).toHaveLength(1)
    expect(look(history, ['t2', 't1'])).toHaveLength(1)
  })

  test('calls an acknowledged write wrong that is missing without a kill', () => {
    const history = userWith(3)
    expect(look(history, range(1, 2))).toEqual(['t3 was acknowledged and is missing'])
  })

  test('calls an answer to a write wrong that does not show the write', () => {
    const history = userWith(2)
    expect(write(history, 't3', range(1, 2))).toHaveLength(1)
  })

  test('calls it wrong also when the kill came in between', () => {
    const history = userWith(2)
    const underway = history.begin({ list: 'left', token: 't3' })
    kill(history)
    expect(history.answered(underway, view(range(1, 2)))).toEqual(['t3 was acknowledged and is missing'])
  })

  test('lets a read that began before an acknowledgement miss the write', () => {
    const history = userWith(1)
    const early = history.begin()
    expect(write(history, 't2', range(1, 2))).toEqual([])
    expect(history.answered(early, view(['t1']))).toEqual([])
    expect(look(history, ['t1'])).toHaveLength(1)
  })

  test('leaves a refused write open until it is seen, and then holds the store to it', () => {
    const history = userWith(1)
    history.failed(history.begin({ list: 'left', token: 't2' }))
    expect(look(history, ['t1'])).toEqual([])
    expect(look(history, ['t1', 't2'])).toEqual([])
    expect(look(history, ['t1'])).toHaveLength(1)
  })

  test('lets the kill take the newest writes, and counts them', () => {
    const history = userWith(5)
    kill(history)
    expect(look(history, range(1, 3))).toEqual([])
    expect(history.verdict(3)).toEqual({ lost: 2, beyondBound: 0, complaints: [] })
    expect(history.verdict(2)).toMatchObject({ lost: 2, beyondBound: 1 })
  })

  test('is exact again after the first answer that followed the kill', () => {
    const history = userWith(5)
    kill(history)
    expect(look(history, range(1, 3))).toEqual([])
    expect(look(history, range(1, 2))).toEqual(['t3 had survived the kill and is missing'])
    expect(look(history, range(1, 4))).toEqual(['t4 came back after it was lost'])
    expect(write(history, 't6', [...range(1, 3), 't6'])).toEqual([])
    expect(look(history, range(1, 3))).toEqual(['t6 was acknowledged and is missing'])
  })

  test('lets a write that was under way during the kill bring its copy of the session back', () => {
    const history = userWith(5)
    const underway = history.begin({ list: 'right', token: 'r1' })
    kill(history)
    expect(look(history, range(1, 3))).toEqual([])
    const late = history.begin()
    expect(history.answered(underway, { user: 'ada', lists: { left: range(1, 5), right: ['r1'] } })).toEqual([])
    expect(history.answered(late, view(range(1, 3)))).toEqual([])
    expect(history.answered(history.begin(), { user: 'ada', lists: { left: range(1, 5), right: ['r1'] } })).toEqual([])
    expect(history.verdict(10)).toMatchObject({ lost: 0, complaints: [] })
  })

  test('lets nothing come back once that write was answered and another request has seen the loss', () => {
    const history = userWith(5)
    const underway = history.begin({ list: 'left', token: 't6' })
    kill(history)
    expect(history.answered(underway, view([...range(1, 3), 't6']))).toEqual([])
    expect(look(history, [...range(1, 3), 't6'])).toEqual([])
    expect(look(history, [...range(1, 4), 't6'])).toEqual(['t4 came back after it was lost'])
    expect(history.verdict(10)).toMatchObject({ lost: 2 })
  })

  test('lets a write that had loaded what was left take away what another brought back meanwhile', () => {
    const back = [...range(1, 5)]
    const history = userWith(5)
    const underway = history.begin({ list: 'right', token: 'r1' })
    kill(history)
    const later = history.begin({ list: 'left', token: 't6' })
    expect(history.answered(underway, { user: 'ada', lists: { left: back, right: ['r1'] } })).toEqual([])
    const both = history.begin()
    const slow = history.begin()
    expect(history.answered(later, { user: 'ada', lists: { left: [...range(1, 3), 't6'] } })).toEqual([])
    expect(history.answered(both, { user: 'ada', lists: { left: back, right: ['r1'] } })).toEqual([])
    const left = { user: 'ada', lists: { left: [...range(1, 3), 't6'], right: ['r1'] } }
    expect(history.answered(history.begin(), left)).toEqual([])
    expect(history.answered(slow, { user: 'ada', lists: { left: back, right: ['r1'] } })).toEqual([])
    expect(look(history, [...range(1, 4), 't6'])).toContain('t4 came back after it was lost')
    expect(history.verdict(10)).toMatchObject({ lost: 2, complaints: [] })
  })

  test('does not take it for that where a request that began after that write was answered has seen them', () => {
    const history = userWith(5)
    const underway = history.begin({ list: 'right', token: 'r1' })
    kill(history)
    const later = history.begin({ list: 'left', token: 't6' })
    const all = { user: 'ada', lists: { left: range(1, 6), right: ['r1'] } }
    expect(history.answered(underway, { user: 'ada', lists: { left: range(1, 5), right: ['r1'] } })).toEqual([])
    expect(history.answered(later, all)).toEqual([])
    expect(history.answered(history.begin(), all)).toEqual([])
    const less = { user: 'ada', lists: { left: [...range(1, 3), 't6'], right: ['r1'] } }
    expect(history.answered(history.begin(), less)).toEqual([
      't4 had survived the kill and is missing',
      't5 had survived the kill and is missing',
    ])
  })

  test('calls a hole wrong: what is lost is the newest', () => {
    const history = userWith(3)
    const right = history.begin({ list: 'right', token: 'r1' })
    expect(history.answered(right, { user: 'ada', lists: { left: range(1, 3), right: ['r1'] } })).toEqual([])
    kill(history)
    expect(history.answered(history.begin(), { user: 'ada', lists: { left: range(1, 2), right: ['r1'] } })).toEqual([])
    expect(history.verdict(10).complaints).toEqual(['t3 is lost although the newer r1 is not'])
  })

  test('goes on with a new list after an unknown outcome', () => {
    expect([nextList('left'), nextList('left.1'), nextList('left.9')]).toEqual(['left.1', 'left.2', 'left.10'])
  })
})
