import { expect, test } from 'vitest'
import { copyOf, visitor } from '../adapters/visitor.js'
import { serving } from './serving.js'

test.each(['fastify', 'nest-express', 'nest-fastify'])(
  'the program %s logs in, keeps a cart, logs out, and ends at SIGTERM',
  async (name) => {
    await using shop = await serving(`docs/examples/${name}.ts`)
    const ada = visitor()
    await ada.post(`${shop.url}/cart/tea`)
    const before = await copyOf(ada)
    expect((await ada.post(`${shop.url}/login/ada`)).status).toBeLessThan(400)
    expect((await ada.post(`${shop.url}/cart/milk`)).body).toEqual(['milk'])
    expect((await ada.get(shop.url)).body).toEqual({ user: 'ada', cart: ['milk'] })
    expect((await before.get(shop.url)).body).not.toHaveProperty('user')
    const device = await copyOf(ada)
    expect((await ada.post(`${shop.url}/logout`)).status).toBeLessThan(400)
    expect((await device.get(shop.url)).body).not.toHaveProperty('user')
    shop.program.signal('SIGTERM')
    expect(await shop.program.ended).toBe(0)
  },
)
