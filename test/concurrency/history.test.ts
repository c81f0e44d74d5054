import { describe, expect, test } from 'vitest'
import {
  everyCallAnswers,
  goneIsGone,
  loggedOutEverywhere,
  lossesAreBounded,
  nothingDurableIsMissed,
  nothingIsLost,
  nothingIsMadeUp,
  type Operation,
} from './history.js'

const at = (startedAt: number, endedAt: number, operation: Partial<Operation>): Operation => ({
  process: 0,
  what: 'load',
  outcome: 'ok',
  startedAt,
  endedAt,
  ...operation,
})
const write = (startedAt: number, endedAt: number, token: string, more: Partial<Operation> = {}): Operation =>
  at(startedAt, endedAt, { what: 'write', token, ...more })
const load = (startedAt: number, endedAt: number, ...seen: string[]): Operation => at(startedAt, endedAt, { seen })

describe('the judge of a history', () => {
  test('lets a good one pass', () => {
    const history = [
      write(0, 2, 'a'),
      write(1, 4, 'b'),
      load(1, 3),
      load(3, 5, 'a'),
      load(5, 6, 'a', 'b'),
      write(6, 7, 'c', { outcome: 'refused', error: 'E_SESSION_CONFLICT' }),
      load(8, 9, 'a', 'b'),
    ]
    for (const judge of [everyCallAnswers, nothingIsMadeUp, nothingIsLost]) expect(judge(history)).toEqual([])
  })

  test('notices an acknowledged write that a later read misses', () => {
    expect(nothingIsLost([write(0, 1, 'a'), load(2, 3)])).toHaveLength(1)
  })

  test('notices a read that goes back, also of a write that is still under way', () => {
    expect(nothingIsLost([write(0, 9, 'a'), load(1, 2, 'a'), load(3, 4)])).toHaveLength(1)
  })

  test('notices a read that misses what was acknowledged as durable, and forgives it to miss the rest', () => {
    const history = [write(0, 1, 'a', { durable: true }), write(0, 1, 'b'), load(0, 2)]
    expect(nothingDurableIsMissed([...history, load(2, 3, 'a')])).toEqual([])
    expect(nothingDurableIsMissed([...history, load(2, 3, 'b')])).toHaveLength(1)
  })

  test.each([
    ['nobody wrote', [load(0, 1, 'a')]],
    ['was written only later', [load(0, 1, 'a'), write(2, 3, 'a')]],
    ['was refused', [write(0, 1, 'a', { outcome: 'refused' }), load(2, 3, 'a')]],
    ['is there twice', [write(0, 1, 'a'), load(2, 3, 'a', 'a')]],
  ])('notices a token that %s', (_, history) => {
    expect(nothingIsMadeUp(history)).toHaveLength(1)
  })

  test.each(['unknown', 'failed'] as const)('notices a call whose outcome is %s', (outcome) => {
    expect(everyCallAnswers([write(0, 1, 'a', { outcome })])).toHaveLength(1)
  })

  test('notices a session that is served, changed or regenerated after its end, and only what began after it', () => {
    const end = at(2, 3, { what: 'destroy' })
    expect(goneIsGone([end, load(1, 5, 'a'), write(0, 9, 'a'), at(4, 5, { what: 'destroy' })])).toEqual([])
    expect(goneIsGone([end, load(4, 5), write(4, 5, 'a'), at(4, 5, { what: 'regenerate' })])).toHaveLength(3)
    expect(goneIsGone([end, at(4, 5, { outcome: 'none' }), write(4, 5, 'a', { outcome: 'refused' })])).toEqual([])
    expect(goneIsGone([load(4, 5)])).toEqual(['nothing ended the session'])
  })

  test('counts what each loss of the cache took', () => {
    const history = [write(0, 1, 'a'), write(2, 3, 'b'), write(6, 7, 'c'), write(8, 9, 'd')]
    const losses = [
      { startedAt: 4, endedAt: 5 },
      { startedAt: 10, endedAt: 11 },
    ]
    expect(lossesAreBounded(history, losses, ['b', 'd'], 2)).toEqual([])
    expect(lossesAreBounded(history, losses, ['c', 'd'], 2)).toHaveLength(1)
    expect(lossesAreBounded(history, losses, [], 3)).toEqual([])
    expect(lossesAreBounded(history, losses, ['a', 'b', 'c', 'd'], 1)).toEqual([])
    expect(lossesAreBounded(history, losses, ['a', 'b', 'c'], 1)).toHaveLength(1)
  })

  test('blames either loss for a write that was under way during the first', () => {
    const losses = [
      { startedAt: 4, endedAt: 5 },
      { startedAt: 10, endedAt: 11 },
    ]
    const history = [write(0, 1, 'a'), write(3, 6, 'b')]
    expect(lossesAreBounded(history, losses, [], 2)).toEqual([])
    expect(lossesAreBounded([...history, write(7, 8, 'c')], losses, [], 2)).toHaveLength(1)
  })

  test('notices a write that is lost though nothing happened after it, or though it was durable', () => {
    const losses = [{ startedAt: 4, endedAt: 5 }]
    expect(lossesAreBounded([write(6, 7, 'a')], losses, [], 10)).toHaveLength(1)
    expect(lossesAreBounded([write(0, 1, 'a', { durable: true })], losses, [], 10)).toHaveLength(1)
  })
})

describe('the judge of a logout everywhere', () => {
  const of = (session: string, operation: Operation) => ({ ...operation, session })
  const served = (session: string, startedAt: number, user = 'ada') =>
    of(session, at(startedAt, startedAt + 1, { user, seen: [] }))
  const logout = of('', at(10, 20, { what: 'logout everywhere' }))
  const ada = { user: 'ada', before: new Set(['old', 'kept']), except: 'kept', epoch: 2 }
  const epochs = new Map([
    ['late', 2],
    ['caught', 1],
  ])

  test('lets sessions be served before and beside it, the one that stays, later ones, and other users’', () => {
    const history = [served('old', 5), served('old', 15), logout, served('kept', 25), served('late', 25)]
    expect(loggedOutEverywhere([...history, served('hers', 30, 'eve')], { ...ada, epochs })).toEqual([])
  })

  test.each([
    ['that was the user’s before', 'old'],
    ['under an older epoch', 'caught'],
    ['that has ended in the backend', 'ended'],
  ])('notices a session %s and is served after it', (_title, session) => {
    expect(loggedOutEverywhere([logout, served(session, 21)], { ...ada, epochs })).toHaveLength(1)
  })

  test('does not pass where there was none', () => {
    expect(loggedOutEverywhere([served('late', 25)], { ...ada, epochs })).toHaveLength(1)
  })
})
