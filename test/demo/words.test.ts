import { describe, expect, test } from 'vitest'
import { counted, Outcome, told } from '../../scripts/demo-app/words.js'

test('one thing is not called things', () => {
  expect([0, 1, 2].map((count) => counted(count, 'thing'))).toEqual(['0 things', '1 thing', '2 things'])
  expect([1, 3].map((count) => counted(count, 'process', 'processes'))).toEqual(['1 process', '3 processes'])
})

describe('an error', () => {
  test('that was thrown on purpose is its message', () => {
    expect(told(new Error('no app process told its counters'))).toBe('no app process told its counters')
    class Refused extends Outcome {}
    expect(told(new Refused('503 E_SESSION_UNAVAILABLE'))).toBe('503 E_SESSION_UNAVAILABLE')
  })

  test('that a server or a socket gave is one line, with its causes', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
    expect(told(refused)).toBe('connect ECONNREFUSED 127.0.0.1:1')
    expect(told(new AggregateError([refused, refused]))).toBe('connect ECONNREFUSED 127.0.0.1:1')
    class StoreError extends Error {
      readonly code = 'E_SESSION_UNAVAILABLE'
    }
    expect(told(new StoreError('postgres could not create the session', { cause: refused }))).toBe(
      'postgres could not create the session: connect ECONNREFUSED 127.0.0.1:1',
    )
  })

  test('that nobody expected shows where it came from', () => {
    expect(told(new TypeError('undefined is not a function'))).toMatch(/^TypeError: undefined .*\n {4}at /)
  })
})
