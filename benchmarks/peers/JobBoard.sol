// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// The first two steps of a job on an EVM chain: a posting with its bounty in escrow, and a claim with a tenth of it as stake.
/// It keeps what the ledger's job contract keeps for them and leaves out everything that comes later.
contract JobBoard {
    struct Job {
        address poster;
        uint96 bounty;
        uint64 expiry;
        uint64 imageSize;
        uint32 claimants;
        uint8 finalists;
        uint8 floatKind;
        uint8 onCheat;
        uint128 fee;
        int64 floor;
        uint64 tol;
        bytes32 image;
        bytes32 imageId;
        uint64[7] limits;
        string params;
    }

    struct Claim {
        int64 loss;
        uint32 count;
        uint128 stake;
        bytes32 commitment;
    }

    mapping(uint256 => Job) public jobs;
    mapping(uint256 => mapping(address => Claim)) public claims;
    uint256 public posted;
    uint256 public claimed;

    event Posted(uint256 indexed job, address indexed poster, uint256 bounty, uint64 expiry);
    event Claimed(uint256 indexed job, address indexed claimant, int64 loss, uint32 count);

    function jobId(address poster, uint64 number) public pure returns (uint256) {
        return (uint256(uint160(poster)) << 64) | number;
    }

    function post(uint64 number, Job calldata terms) external payable {
        uint256 id = jobId(msg.sender, number);
        require(jobs[id].poster == address(0), "this number is taken");
        require(terms.expiry > block.timestamp, "the expiry is past");
        require(terms.finalists >= 1 && terms.finalists <= 8, "one to eight finalists");
        require(msg.value > 0 && msg.value < 2 ** 96, "a bounty is needed");
        require(bytes(terms.params).length <= 8192, "params are too long");
        Job storage job = jobs[id];
        job.poster = msg.sender;
        job.bounty = uint96(msg.value);
        job.expiry = terms.expiry;
        job.imageSize = terms.imageSize;
        job.finalists = terms.finalists;
        job.floatKind = terms.floatKind;
        job.onCheat = terms.onCheat;
        job.fee = terms.fee;
        job.floor = terms.floor;
        job.tol = terms.tol;
        job.image = terms.image;
        job.imageId = terms.imageId;
        job.limits = terms.limits;
        job.params = terms.params;
        posted++;
        emit Posted(id, msg.sender, msg.value, terms.expiry);
    }

    function claim(uint256 id, int64 loss, bytes32 commitment) external payable {
        Job storage job = jobs[id];
        require(job.poster != address(0) && block.timestamp < job.expiry, "no open job");
        require(msg.sender != job.poster, "not on your own job");
        require(loss >= job.floor, "below the floor");
        Claim storage own = claims[id][msg.sender];
        if (own.count == 0) {
            require(msg.value >= job.bounty / 10, "a tenth of the bounty is the stake");
            own.stake = uint128(msg.value);
            job.claimants++;
        } else {
            require(loss <= own.loss - int64(job.tol) * 2, "not better");
        }
        own.loss = loss;
        own.count++;
        own.commitment = commitment;
        claimed++;
        emit Claimed(id, msg.sender, loss, own.count);
    }
}
