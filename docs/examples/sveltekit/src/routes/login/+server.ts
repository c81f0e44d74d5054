import { json, type RequestHandler } from '@sveltejs/kit'

export const POST: RequestHandler = async ({ locals: { session }, request }) => {
  const { user } = await request.json() // Check the password here.
  await session.regenerate()
  session.data.user = user
  return json({ user })
}
