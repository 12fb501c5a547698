use super::*;

const HOST: &str = "12D3KooWNfR8NXkUJ7QEFDDb37YCRijEy9J8VzUFgFfMKLuVmXJH";
const CLIENT: &str = "12D3KooWNgKC3pQW7LJnheQPs7gSaCCgr6DWruuc113X328bwbmv";
const STRANGER: &str = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7";

#[test]
fn r_tunnel_2_a_proof_is_for_one_client_at_one_host() {
    let secret = Secret::new([7; 16]);
    let (client, host) = (CLIENT.parse().unwrap(), HOST.parse().unwrap());
    let proof = secret.proof(&client, &host);
    assert!(secret.verifies(&proof, &client, &host));
    assert!(!secret.verifies(&proof, &host, &client));
    let stranger = STRANGER.parse().unwrap();
    assert!(!secret.verifies(&proof, &stranger, &host));
    assert!(!secret.verifies(&proof, &client, &stranger));
    assert!(!Secret::new([8; 16]).verifies(&proof, &client, &host));
    for position in 0..CodeProof::BYTES {
        let mut wrong = proof;
        wrong.0[position] ^= 1;
        assert!(!secret.verifies(&wrong, &client, &host), "{position}");
    }
}

#[test]
fn r_tunnel_2_session_and_proof_have_these_bytes() {
    use data_encoding::HEXLOWER;
    let secret = Secret::new([7; 16]);
    let (client, host) = (CLIENT.parse().unwrap(), HOST.parse().unwrap());
    assert_eq!(HEXLOWER.encode(&secret.session().0), SESSION);
    assert_eq!(HEXLOWER.encode(&secret.proof(&client, &host).0), PROOF);
}

// From an independent computation.
const SESSION: &str = "8b5c035278749b51";
const PROOF: &str = "bc2fcc70657e04e8012c280237f37a4aa19e5e1f5da21a0f02229144805a2c3b";
