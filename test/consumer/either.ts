// Written with `import` and compiled to CommonJS or to an ECMAScript module, as the compiler's options say.
import { createSessionStore, isSessionStoreError, type SessionStore, SessionStoreError } from 'nonstick'
import { NonstickStore } from 'nonstick/express'
import { memoryBackend, memoryCache } from 'nonstick/memory'

interface Visitor {
  cart: string[]
}

const main = async (): Promise<void> => {
  const sessions: SessionStore<Visitor> = createSessionStore<Visitor>({
    cache: memoryCache(),
    backend: memoryBackend(),
  })
  const created = await sessions.create({ cart: ['tea'] })
  await sessions.update(created.id, (data) => {
    data.cart.push('milk')
  })
  const found = await sessions.load(created.id)
  if (found?.data.cart.join() !== 'tea,milk') throw new Error('the session is another')

  const error: unknown = await sessions.load('').catch((refusal: unknown) => refusal)
  if (!isSessionStoreError(error, 'E_INVALID_ID') || !(error instanceof SessionStoreError))
    throw new Error('the error is another')
  await sessions.close()

  const store: NonstickStore = new NonstickStore({ cache: memoryCache(), backend: memoryBackend() })
  if ((await store.length()) !== 0) throw new Error('the store is not empty')
  await store.close()
  console.log('either ok')
}

void main()
