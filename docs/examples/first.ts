import { createSessionStore } from 'nonstick'

// Nothing given: an embedded cache and backend in this process, to try it out.
const sessions = createSessionStore<{ cart: string[] }>()

const session = await sessions.create({ cart: [] })

const found = await sessions.load(session.id) // Session | undefined; rejects when it cannot know
if (found !== undefined) {
  found.data.cart.push('tea')
  await sessions.save(found)
}
await sessions.update(session.id, (data) => data.cart.push('coffee')) // atomic
console.log((await sessions.load(session.id))?.data.cart) // [ 'tea', 'coffee' ]

await sessions.destroy(session.id)
console.log(await sessions.load(session.id)) // undefined
await sessions.close()
