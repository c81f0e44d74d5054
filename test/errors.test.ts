import { describe, expect, test } from 'vitest'
import { didYouMean, invalidOption, refuseUnknownOptions } from '../src/errors.js'
import {
  createSessionStore,
  isSessionStoreError,
  SessionStoreError,
  type SessionStoreErrorCode,
  type StoreOptions,
} from '../src/index.js'

describe('a complaint about an option', () => {
  test.each([
    [undefined, 'nothing'],
    [null, 'null'],
    [0, '0 (number)'],
    ['', 'an empty string'],
    ['ten', 'a string'],
    [[1, 2], 'an array of 2'],
    [{ password: 's3cret' }, 'an object'],
    [Promise.resolve(), 'a promise'],
    ['postgres://user:s3cret@host/db', 'a string'],
  ])('shows %j as what it is', (value, shown) => {
    expect(invalidOption('name', 'something else', value).message).toBe(
      `Expected \`name\` to be something else, got ${shown}`,
    )
  })

  test('shows nothing of an option that there is not: it may be a misspelt password', () => {
    const known: ReadonlySet<string> = new Set(['servers'])
    expect(() => refuseUnknownOptions({ servers: 'host' }, known)).not.toThrow()
    expect(() => refuseUnknownOptions({ servers: 'host', pasword: 's3cret' }, known)).toThrow(
      expect.objectContaining({
        code: 'E_CONFIG',
        message: 'Expected `pasword` to be left out: there is no such option',
      }),
    )
  })

  test.each([
    ['fault', ''],
    ['falut', ' (did you mean `fault`?)'],
    ['FLUSH', ' (did you mean `flush`?)'],
    ['flushs', ' (did you mean `flush`?)'],
    ['error', ''],
    ['', ''],
  ])('suggests for %j what was meant, where something near is known', (name, hint) => {
    const known = name === 'fault' ? ['flush', 'breaker'] : ['flush', 'fault', 'breaker']
    expect(didYouMean(name, known)).toBe(hint)
  })

  test('repeats no connection string given in the place of a tier', () => {
    const options = { backend: 'postgres://user:s3cret@host/db' } as unknown as StoreOptions<object>
    expect(() => createSessionStore(options)).toThrow(/^((?!s3cret).)*$/)
  })
})

test('an error of another copy of the package is known by its mark', () => {
  const foreign = Object.assign(new Error('elsewhere'), {
    code: 'E_CLOSED',
    [Symbol.for('nonstick.SessionStoreError')]: true,
  })
  expect(isSessionStoreError(foreign)).toBe(true)
  expect(isSessionStoreError(foreign, 'E_CLOSED')).toBe(true)
  expect(isSessionStoreError(foreign, 'E_CONFIG')).toBe(false)
  expect(foreign).toBeInstanceOf(SessionStoreError)
  for (const other of [new Error('no'), null, 'E_CLOSED', { code: 'E_CLOSED' }]) {
    expect(isSessionStoreError(other)).toBe(false)
    expect(other).not.toBeInstanceOf(SessionStoreError)
  }
})

test('a class derived from the library’s error counts only its own errors as instances', () => {
  class Special extends SessionStoreError {}
  expect(new Special('E_CLOSED', 'mine')).toBeInstanceOf(Special)
  expect(new Special('E_CLOSED', 'mine')).toBeInstanceOf(SessionStoreError)
  expect(new SessionStoreError('E_CLOSED', 'not mine')).not.toBeInstanceOf(Special)
})

test('an error is narrowed to the code that was asked for, and is an error still where it has another', () => {
  const codeOf = (error: SessionStoreError): SessionStoreErrorCode => {
    if (isSessionStoreError(error, 'E_CLOSED')) {
      const asked: 'E_CLOSED' = error.code
      return asked
    }
    // Types are checked with the tests: were `error` narrowed to `never` here, this would not compile.
    return error.code
  }
  expect(codeOf(new SessionStoreError('E_CLOSED', 'closed'))).toBe('E_CLOSED')
  expect(codeOf(new SessionStoreError('E_CONFIG', 'wrong'))).toBe('E_CONFIG')
})
