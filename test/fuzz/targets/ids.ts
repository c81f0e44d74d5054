import { assertCursor } from '../../../src/contract/backend.js'
import { isSessionStoreError, SessionStoreError } from '../../../src/errors.js'
import { bornMonthOf, checkedId, MAX_ID_LENGTH, sessionIdFrom } from '../../../src/session/id.js'
import { isKeyOf, keyCheck, locate } from '../../../src/session/key.js'
import { handleOf, isHandle, locatorOfHandle } from '../../../src/session/public-handle.js'
import { anyText, mutatedJson, SECRET } from '../mutate.js'
import { assertEqual, assertThat, targetOf } from '../target.js'

const ID = sessionIdFrom(Date.UTC(2026, 10, 21), Buffer.alloc(32, 5))

const bytesOf = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))

export const ids = targetOf<unknown, string>({
  name: 'ids',
  make: (chance) =>
    chance.oneIn(10)
      ? mutatedJson(chance, [ID])
      : anyText(chance, [ID, SECRET, 'größer', 'x'.repeat(MAX_ID_LENGTH), ''], ['\ud83d', '😀', 'x'.repeat(600)]),
  bytesOf,
  parse: checkedId,
  check: (id, given) => {
    assertEqual('an id', id, given)
    assertThat('an id that may be one', id.length > 0 && id.length <= MAX_ID_LENGTH && !/\p{Surrogate}/u.test(id))
    const { key, bornMonth } = locate('shop', id)
    assertThat('a key', isKeyOf('shop', key) && keyCheck(key).length === 8)
    assertThat('a month that is one', bornMonth === undefined || /^\d\d(?:0[1-9]|1[0-2])$/.test(bornMonth))
    assertEqual('a month', bornMonthOf(id), bornMonth)
    const handle = handleOf({ key })
    assertEqual('the key of a handle', locatorOfHandle('shop', handle).key, key)
    assertThat('a key that shows no id', id.length < 8 || !key.includes(id))
  },
  cut: '',
})

const HANDLE = handleOf(locate('shop', ID))

export const handles = targetOf<unknown, string>({
  name: 'handles',
  make: (chance) =>
    chance.oneIn(10) ? mutatedJson(chance, [HANDLE]) : anyText(chance, [HANDLE, `h.${SECRET}`], ['h.', '=']),
  bytesOf,
  parse: (handle) => locatorOfHandle('shop', handle).key,
  check: (key, handle) => {
    assertEqual('the handle of a key', handleOf({ key }), handle)
    assertThat('a handle, of a key', isHandle(handle) && isKeyOf('shop', key))
  },
  cut: 'shop:short',
})

const CURSOR = locate('shop', ID).key

export const cursors = targetOf<unknown, string>({
  name: 'cursors',
  make: (chance) =>
    chance.oneIn(10) ? mutatedJson(chance, [CURSOR]) : anyText(chance, [CURSOR, `shop:${SECRET}`], ['shop:', ':']),
  bytesOf,
  parse: (after) => {
    assertCursor({ namespace: 'shop', after })
    if (after === undefined) throw new SessionStoreError('E_CONFIG', 'There is none')
    return after as string
  },
  check: (after) =>
    assertThat('a key of the namespace', typeof after === 'string' && after.startsWith('shop:') && after.length > 5),
  refuses: (error) => isSessionStoreError(error, 'E_CONFIG'),
  cut: 'shop:',
})
