import { expect, test } from 'vitest'
import { copyOf, visitor } from '../adapters/visitor.js'
import { serving } from './serving.js'

test('the program of the page on React Router logs in, keeps a cart, logs out, and ends at SIGTERM', async () => {
  await using shop = await serving('docs/examples/react-router.ts')
  const ada = visitor()
  expect((await ada.get(shop.url)).body).toEqual({})
  await ada.post(`${shop.url}/cart/tea`)
  const before = await copyOf(ada)
  expect((await ada.post(`${shop.url}/login/ada`)).status).toBe(302)
  await ada.post(`${shop.url}/cart/milk`)
  expect((await ada.get(shop.url)).body).toEqual({ user: 'ada', cart: ['tea', 'milk'], message: 'Welcome back' })
  expect((await ada.get(shop.url)).body).toEqual({ user: 'ada', cart: ['tea', 'milk'] })
  expect((await before.get(shop.url)).body).toEqual({})
  const device = await copyOf(ada)
  await ada.post(`${shop.url}/logout`)
  expect((await device.get(shop.url)).body).toEqual({})
  expect((await ada.get(`${shop.url}/nowhere`)).status).toBe(404)
  shop.program.signal('SIGTERM')
  expect(await shop.program.ended).toBe(0)
})
